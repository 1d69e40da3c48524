// ---- drawing ------------------------------------------------------------------------------

function colours() {
  const style = getComputedStyle(root);
  const names = {right: "--emo-right", left: "--emo-left", ink: "--emo-ink", line: "--emo-line"};
  Object.assign(names, {black: "--emo-black-key", key: "--emo-key", fill: "--block-background-fill"});
  return Object.fromEntries(
    Object.entries(names).map(([name, property]) => [name, style.getPropertyValue(property).trim()]),
  );
}

function cleared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const wide = Math.round(box.wide * ratio), tall = Math.round(box.tall * ratio);
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== tall) canvas.height = tall;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.wide, box.tall);
  return context;
}

const row = () => (box.tall - TOP - 8) / (high - low);
const lowestC = () => Math.ceil(low / 12) * 12;
const y = (pitch) => TOP + (high - 1 - pitch) * row();

function drawNote(context, note, colour, strength) {
  const left = GUTTER + x(note.onset);
  const right = GUTTER + x(Math.min(note.end, span()));
  if (right < GUTTER - 4 || left > box.wide) return;
  const tall = Math.max(row() - 0.8, 2.2), wide = Math.max(right - left - 1, 2.5);
  context.globalAlpha = strength * (0.3 + 0.7 * (note.velocity / 127) ** 1.1);
  context.fillStyle = note.hand ? colour.right : colour.left;
  context.beginPath();
  context.roundRect(left, y(note.pitch) + (row() - tall) / 2, wide, tall, Math.min(tall / 2, 3));
  context.fill();
}

function drawRows(context, colour) {
  context.fillStyle = colour.black;
  for (let pitch = low; pitch < high; pitch += 1) {
    if (BLACK.includes(pitch % 12)) context.fillRect(GUTTER, y(pitch), box.wide, row());
  }
  context.fillStyle = colour.line;
  for (let pitch = lowestC(); pitch < high; pitch += 12) {
    context.fillRect(GUTTER, y(pitch - 1) - 0.25, box.wide, 0.5);
  }
}

function barLines() {
  const lines = shown.bars.slice(0, shown.bars.length || 0);
  if (shown.composing || lines.length < 2) { // the lines of the bars to come
    const from = lines.length ? barsEnd() : 0;
    for (let n = lines.length; n <= nBars(); n += 1) {
      lines.push(from + (n - Math.max(shown.bars.length - 1, 0)) * meanBar());
    }
  }
  return lines;
}

function drawBars(context, colour) {
  const lines = barLines();
  const per = width() / Math.max(lines.length - 1, 1);
  const every = [1, 2, 4, 8, 16, 32, 64, 128].find((n) => n * per >= 30) || 256;
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "left";
  lines.forEach((time, n) => {
    const left = GUTTER + x(time), numbered = n % every === 0 && n < lines.length - 1 && left > GUTTER - 2;
    if (left < GUTTER - 30 || left > box.wide) return;
    context.fillStyle = colour.line;
    context.fillRect(left - 0.5, numbered ? 8 : TOP, 1, box.tall);
    context.fillStyle = colour.ink;
    if (numbered) context.fillText(String(n + 1), left + 5, TOP / 2 + 2);
  });
}

function drawKeys(context, colour, lit) {
  context.fillStyle = colour.fill;
  context.fillRect(0, 0, GUTTER, box.tall);
  context.fillStyle = colour.black;
  context.fillRect(GUTTER - KEY, TOP, KEY, box.tall - TOP);
  for (let pitch = low; pitch < high; pitch += 1) {
    const black = BLACK.includes(pitch % 12), hand = lit.get(pitch);
    if (!black && hand === undefined) continue;
    context.fillStyle = hand === undefined ? colour.key : hand ? colour.right : colour.left;
    context.fillRect(GUTTER - KEY, y(pitch) + 0.3, black ? KEY * 0.6 : KEY - 1, Math.max(row() - 0.6, 1));
  }
  context.fillStyle = colour.line;
  context.fillRect(GUTTER - 1, TOP, 1, box.tall);
  context.fillStyle = colour.ink;
  context.font = "10.5px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let pitch = lowestC(); pitch < high; pitch += 12) {
    context.fillText(`C${pitch / 12 - 1}`, GUTTER - KEY - 6, y(pitch) + row() / 2);
  }
}

let drawnAs = ""; // the geometry of what lies on the lower canvas
const geometry = () => [
  span().toFixed(2), width(), box.left, box.wide, box.tall, low, high, shown.composing,
].join();

function settle() { // notes that have faded in join those on the lower canvas
  measure();
  const colour = colours(), context = find("notes").getContext("2d");
  for (const note of notes.slice(fresh.from)) drawNote(context, note, colour, 1);
  fresh.from = notes.length;
  context.globalAlpha = 1;
  drawKeys(context, colour, new Map());
  glowKey = "?"; // anything but what is there
  drawGlow(colour);
}

function drawAll() {
  measure();
  if (!box.wide) return; // hidden: the observer calls again when it is shown
  const colour = colours(), context = cleared(find("notes"));
  const scrolls = width() > room() + 1;
  view.classList.toggle("emo-fits", !scrolls);
  space.style.width = scrolls ? `${width() + GUTTER + 10}px` : "100%";
  drawRows(context, colour);
  drawBars(context, colour);
  const settled = fading() ? fresh.from : notes.length;
  for (let i = 0; i < settled; i += 1) drawNote(context, notes[i], colour, 1);
  context.globalAlpha = 1;
  drawKeys(context, colour, new Map());
  drawnAs = geometry();
  glowKey = "?";
  drawGlow(colour);
  place();
}

// What changes often lies on a canvas of its own: notes fading in, notes and keys that sound.
function drawGlow(known) {
  const now = audio.currentTime;
  const sounding = audio.paused ? [] : notes.filter((note) => note.onset <= now && now < note.end);
  const key = fading() ? String(performance.now()) : sounding.map((n) => `${n.pitch}@${n.onset}`).join();
  if (key === glowKey) return;
  glowKey = key;
  const colour = known || colours(), context = cleared(find("glow"));
  const age = Math.min((performance.now() - fresh.since) / FADE_MS, 1);
  if (fading()) notes.slice(fresh.from).forEach((note) => drawNote(context, note, colour, age));
  for (const note of sounding) drawNote(context, {...note, velocity: 127}, colour, 1);
  context.globalAlpha = 1;
  const lit = new Map(sounding.map((note) => [note.pitch, note.hand]));
  if (lit.size || fading()) drawKeys(context, colour, lit);
}

const fading = () => fresh.from < notes.length && performance.now() - fresh.since < FADE_MS;

function place() {
  measure();
  const ready = Boolean(shown.url), cursor = find("cursor"), head = find("head");
  cursor.hidden = !ready;
  cursor.style.transform = `translateX(${x(Math.min(audio.currentTime, span()))}px)`;
  head.hidden = !shown.composing;
  head.style.width = `${Math.max((meanBar() / span()) * width(), 6)}px`;
  head.style.transform = `translateX(${x(barsEnd())}px)`;
  find("empty").hidden = notes.length > 0 || shown.composing;
}
