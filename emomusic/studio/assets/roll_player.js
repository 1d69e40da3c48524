// ---- frames: only while something moves ---------------------------------------------------

function refresh(grown) { // notes that only join the others need no new ground below them
  measure();
  if (grown && fading() && drawnAs === geometry()) place();
  else drawAll();
  breathe();
  if (shown.composing) follow(barsEnd() + meanBar());
  sayPlace();
  wake();
}

function wake() {
  if (!wantedFrame && (!audio.paused || fresh.from < notes.length)) {
    wantedFrame = requestAnimationFrame(frame);
  }
}

function frame() {
  wantedFrame = 0;
  if (!element.isConnected) { // the page took the roll away
    audio.pause();
    return;
  }
  if (fresh.from < notes.length && !fading()) { // faded in: they join the others
    settle();
  } else {
    drawGlow();
  }
  if (!audio.paused) {
    follow(audio.currentTime);
    place();
    sayPlace();
  }
  wake();
}

function breathe() {
  if (glide && (!shown.composing || still.matches)) glide = glide.cancel() || null;
  if (!glide && shown.composing && !still.matches) {
    const beats = {duration: 1100, iterations: Infinity, direction: "alternate", easing: "ease-in-out"};
    glide = find("head").animate([{opacity: 0.1}, {opacity: 0.3}], beats);
  }
}

function backToCursor() { // the writing head led away from it
  turned = -1e9;
  follow(audio.currentTime);
}

// Turn the page when the place leaves it, unless the person has just scrolled.
function follow(time) {
  const now = performance.now();
  if (view.classList.contains("emo-fits") || now < Math.max(handsOff + 3000, turned + 700)) return;
  measure();
  const at = x(time);
  if (at >= 0 && at <= room() * 0.92) return;
  const left = box.left + at - room() * (shown.composing ? 0.8 : 0.12);
  turned = now;
  view.scrollTo({left: Math.max(left, 0), behavior: still.matches ? "auto" : "smooth"});
}

// ---- words --------------------------------------------------------------------------------

function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function tell(composing, label) { // once at each end of composing, not at each bar
  if (composing && !shown.composing) write(find("said"), "Composing.");
  if (!composing && label && label !== shown.label) write(find("said"), `Ready: ${label}.`);
  root.setAttribute("aria-label", label ? `Piano roll: ${label}` : "Piano roll");
}

function sayPlace() {
  const ready = Boolean(shown.url), now = Math.min(audio.currentTime, length());
  const bar = `bar ${barAt(now)} of ${nBars()}`;
  const composed = `composing bar ${Math.min(written() + 1, nBars())} of ${nBars()}`;
  write(find("time"), clock(ready ? now : 0));
  write(find("of"), clock(ready ? length() : barsEnd()));
  write(find("where"), shown.composing ? composed : ready && written() ? bar : "");
  const attributes = {
    "aria-valuemax": String(Math.round(ready ? length() : 0)),
    "aria-valuenow": String(Math.round(ready ? now : 0)),
    "aria-valuetext": ready ? `${bar}, ${clock(now)}` : shown.composing ? composed : "nothing to play yet",
    "aria-disabled": String(!ready),
  };
  for (const [name, words] of Object.entries(attributes)) {
    if (view.getAttribute(name) !== words) view.setAttribute(name, words);
  }
}

// ---- playing ------------------------------------------------------------------------------

function load() {
  play.disabled = loop.disabled = !shown.url;
  if ((audio.getAttribute("src") || "") === shown.url) return;
  audio.pause();
  if (shown.url) audio.setAttribute("src", shown.url);
  else audio.removeAttribute("src");
  audio.load();
}

function toggle() {
  if (!shown.url) return;
  if (audio.paused) audio.play().catch(() => sayPlace());
  else audio.pause();
}

function seek(time) {
  if (!shown.url) return;
  audio.currentTime = Math.min(Math.max(time, 0), Math.max(length() - 0.01, 0));
  handsOff = turned = -1e9;
  follow(audio.currentTime);
  place();
  sayPlace();
}

function step(bars) { // to the line of a bar, as a musician counts
  const now = audio.currentTime, bar = barAt(now);
  if (!written()) return seek(now + bars * 5);
  const inside = now - shown.bars[bar - 1] > 0.35 && bars === -1 ? 1 : 0; // first back to its start
  const line = Math.min(Math.max(bar - 1 + bars + inside, 0), shown.bars.length - 1);
  return seek(shown.bars[line] + 0.001);
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const fine = event.shiftKey ? meanBar() / 4 : 0;
  const ahead = (bars) => (fine ? seek(audio.currentTime + Math.sign(bars) * fine) : step(bars));
  const keys = {
    " ": toggle, ArrowRight: () => ahead(1), ArrowUp: () => ahead(1), ArrowLeft: () => ahead(-1),
    ArrowDown: () => ahead(-1), PageUp: () => step(4), PageDown: () => step(-4),
    Home: () => seek(0), End: () => seek(length()),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
}

function silenceOthers() {
  for (const other of document.querySelectorAll(".emo-audio")) {
    if (other !== audio) other.pause();
  }
}

function onPlaying() {
  root.classList.toggle("emo-playing", !audio.paused);
  play.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
  glowKey = "?"; // draw once more, now without sounding notes
  drawGlow();
  wake();
}

// A finger that drags over a long roll scrolls it; a mouse, or a finger on a short one, seeks.
let dragging = false;
const scrollsUnder = (event) => event.pointerType === "touch" && !view.classList.contains("emo-fits");
view.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || scrollsUnder(event) || !shown.url) return;
  if (event.offsetY > view.clientHeight) return; // on the scroll bar
  dragging = true;
  view.setPointerCapture(event.pointerId);
  seek(timeAt(event.clientX));
});
view.addEventListener("pointermove", (event) => { if (dragging) seek(timeAt(event.clientX)); });
for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => { dragging = false; });
view.addEventListener("click", (event) => { if (scrollsUnder(event)) seek(timeAt(event.clientX)); });
view.addEventListener("keydown", onKey);
const scrolledByHand = (event) => { if (event.deltaX !== 0) handsOff = performance.now(); };
for (const touch of ["wheel", "touchmove"]) view.addEventListener(touch, scrolledByHand, {passive: true});
view.addEventListener("scroll", () => requestAnimationFrame(drawAll));
play.addEventListener("click", toggle);
loop.addEventListener("click", () => {
  audio.loop = !audio.loop;
  loop.setAttribute("aria-pressed", String(audio.loop));
});
volume.addEventListener("input", () => { audio.volume = Number(volume.value); });
audio.addEventListener("play", () => { silenceOthers(); onPlaying(); });
for (const end of ["pause", "ended"]) audio.addEventListener(end, onPlaying);
for (const change of ["loadedmetadata", "durationchange", "seeked"]) {
  audio.addEventListener(change, () => { place(); sayPlace(); });
}
audio.addEventListener("error", () => {
  if (shown.url) write(find("where"), "The sound could not be loaded.");
});

new ResizeObserver(drawAll).observe(view);
const darkness = new MutationObserver(() => (element.isConnected ? drawAll() : darkness.disconnect()));
darkness.observe(document.body, {attributes: true, attributeFilter: ["class"]});
watch("value", update);
update();
