// Cards of variations. They are made from a template in the markup and then kept, so that the
// focus stays where it is while clips grow; all words enter by textContent and setAttribute.

const WORDS = {Q1: "happy", Q2: "tense", Q3: "sad", Q4: "calm"};
const find = (name) => element.querySelector(`.emo-${name}`);
const grid = find("cards"), template = find("card-template");
let kept = {take: null, selected: 0, favourites: []};

// ---- values -------------------------------------------------------------------------------

const given = () => (props.value && Array.isArray(props.value.cards) ? props.value : {cards: []});

// Python is the source of truth where it says something; null means "as the person left it", so
// that a clip that grows does not undo a click made in the meantime.
function update() {
  const value = given(), take = String(value.take || "");
  if (take !== kept.take) kept = {take, selected: 0, favourites: []};
  const favourites = value.cards.map((card, i) => card.favourite ?? kept.favourites[i] ?? false);
  const selected = Math.min(value.selected ?? kept.selected, Math.max(value.cards.length - 1, 0));
  kept = {take, selected, favourites};
  publish();
  draw();
}

function publish() { // what Python reads next time
  const value = given();
  const cards = value.cards.map((card, i) => ({...card, favourite: kept.favourites[i]}));
  const next = {...value, cards, selected: kept.selected};
  if (JSON.stringify(next) !== JSON.stringify(value)) props.value = next;
}

function select(index) {
  if (index === kept.selected || !given().cards[index]) return;
  kept.selected = index;
  publish();
  draw();
  trigger("select", {index, value: given().cards[index].title, selected: true});
}

function keep(index) {
  kept.favourites[index] = !kept.favourites[index];
  publish();
  draw();
  trigger("favourite", {index, favourite: kept.favourites[index]});
}

// ---- drawing ------------------------------------------------------------------------------

function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

const percent = (card) => (card.probability == null ? "" : `${Math.round(card.probability * 100)} %`);

function about(card) {
  const tempo = card.tempo ? `${Math.round(card.tempo)} bpm` : "";
  const bars = card.n_bars ? `${card.n_bars} bars` : "";
  return [card.key, tempo, bars].filter(Boolean);
}

const heard = (card) => (card.quadrant ? WORDS[card.quadrant] || card.quadrant : "composing");

function spoken(card) {
  const place = card.valence == null || card.arousal == null
    ? [] : [`valence ${card.valence.toFixed(2)}`, `arousal ${card.arousal.toFixed(2)}`];
  const judged = card.quadrant ? [`heard as ${heard(card)}`, percent(card), ...place] : [heard(card)];
  return [`Variation ${card.title}`, ...judged, ...about(card)].filter(Boolean).join(", ");
}

function cardAt(index) {
  while (grid.children.length <= index) {
    grid.append(template.content.firstElementChild.cloneNode(true));
  }
  return grid.children[index];
}

function draw() {
  const { cards } = given();
  while (grid.children.length > cards.length) grid.lastElementChild.remove();
  cards.forEach((card, index) => drawCard(cardAt(index), card, index));
}

function drawCard(node, card, index) {
  const part = (name) => node.querySelector(`.emo-card-${name}`);
  const chosen = index === kept.selected, favourite = kept.favourites[index] === true;
  if (card.quadrant) node.dataset.quadrant = card.quadrant;
  else delete node.dataset.quadrant;
  write(part("title"), card.title);
  write(part("word"), heard(card));
  write(part("percent"), card.quadrant ? percent(card) : "");
  write(part("about"), about(card).join(" · "));
  part("dot").style.transform = `translate(${(card.valence || 0) * 8}px, ${(card.arousal || 0) * -8}px)`;
  part("pick").setAttribute("aria-checked", String(chosen));
  part("pick").setAttribute("aria-label", spoken(card));
  part("pick").tabIndex = chosen ? 0 : -1;
  part("star").setAttribute("aria-pressed", String(favourite));
  part("star").setAttribute("aria-label", `Keep variation ${card.title}`);
  drawRoll(part("roll"), card, getComputedStyle(node).getPropertyValue("--emo-quadrant").trim());
}

function parse(packed) {
  const rows = String(packed || "").split(";");
  rows.pop();
  return rows.map((row) => row.split(",").map(Number));
}

function drawRoll(canvas, card, colour) {
  const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, tall = canvas.clientHeight;
  if (!wide) return; // hidden: the observer calls again when it is shown
  const key = [card.notes, card.length_s, colour, wide, tall, ratio].join("|");
  if (canvas.drawn === key) return;
  canvas.drawn = key;
  canvas.width = Math.round(wide * ratio);
  canvas.height = Math.round(tall * ratio);
  const notes = parse(card.notes), context = canvas.getContext("2d");
  const pitches = notes.map((note) => note[2]);
  const low = pitches.reduce((a, b) => Math.min(a, b), 43);
  const high = pitches.reduce((a, b) => Math.max(a, b), 79);
  const edge = 14, row = (tall - 2 * edge) / (high - low + 1);
  const scale = (wide - 2 * edge) / (card.length_s * 1000);
  context.scale(ratio, ratio);
  context.fillStyle = colour;
  context.globalAlpha = 0.85;
  for (const [onset, duration, pitch] of notes) {
    const left = edge + onset * scale, right = Math.min(left + duration * scale, wide - edge);
    context.beginPath();
    context.roundRect(left, edge + (high - pitch) * row, Math.max(right - left - 0.5, 1.5), Math.max(row, 1.6), 1);
    context.fill();
  }
  context.globalAlpha = 0.25;
  context.fillRect(edge, tall - 5, wide - 2 * edge, 1);
  if (!card.quadrant) { // how far it is
    const end = notes.reduce((last, note) => Math.max(last, note[0] + note[1]), 0);
    context.globalAlpha = 0.9;
    context.fillRect(edge, tall - 6, Math.min(end * scale, wide - 2 * edge), 2);
  }
}

// ---- hands --------------------------------------------------------------------------------

const indexOf = (target) => [...grid.children].indexOf(target.closest(".emo-card"));

element.addEventListener("click", (event) => {
  if (event.target.closest(".emo-card-star")) keep(indexOf(event.target));
  else if (event.target.closest(".emo-card-pick")) select(indexOf(event.target));
});

element.addEventListener("keydown", (event) => {
  const pick = event.target.closest(".emo-card-pick");
  if (!pick || event.altKey || event.ctrlKey || event.metaKey) return;
  const count = grid.children.length, index = indexOf(pick);
  const next = {
    ArrowRight: (index + 1) % count, ArrowDown: (index + 1) % count,
    ArrowLeft: (index + count - 1) % count, ArrowUp: (index + count - 1) % count,
    Home: 0, End: count - 1,
  }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  select(next);
  grid.children[next].querySelector(".emo-card-pick").focus();
});

new ResizeObserver(draw).observe(grid);
const darkness = new MutationObserver(() => (element.isConnected ? draw() : darkness.disconnect()));
darkness.observe(document.body, {attributes: true, attributeFilter: ["class"]});
watch("value", update);
update();
