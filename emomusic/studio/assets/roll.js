// The piano roll: draws notes while they are composed, then plays and seeks.
// The markup is static, so its elements stay the same; values enter as numbers, by textContent
// and by setAttribute only.

const GUTTER = 46; // room for keys and octave names, also in roll.css
const KEY = 16; // length of a white key
const TOP = 22; // room for the bar numbers, also in roll.css
const MIN_BAR = 14; // pixels of a bar below which the roll scrolls
const FADE_MS = 350;
const GUESSED_BAR_S = 2;
const BLACK = [1, 3, 6, 8, 10];
const find = (name) => element.querySelector(`.emo-roll-${name}`);
const root = find("view").parentElement;
const view = find("view"), layers = find("layers"), space = find("space");
const play = find("play"), loop = find("loop"), volume = find("volume");
const audio = element.querySelector(".emo-audio");
const still = matchMedia("(prefers-reduced-motion: reduce)");

let text = ""; // the notes as they came
let notes = [];
let untils = [], tuned = "", nPieces = 0; // when each note's damper falls, seconds; as it came
let shown = {bars: [], n_bars: 0, composing: false, label: "", url: ""};
let fresh = {from: 0, since: 0}; // notes from this index on fade in
let low = 43, high = 79; // pitches from the lowest row to above the highest
let wantedFrame = 0, glowKey = "", glide = null;
let handsOff = -1e9, turned = -1e9; // when the person, or the page itself, scrolled last

// ---- values -------------------------------------------------------------------------------

function parse(packed, from) {
  const rows = packed.slice(from).split(";");
  rows.pop();
  return rows.map((row) => {
    const [onset, duration, pitch, velocity, hand] = row.split(",").map(Number);
    return {onset: onset / 1000, end: (onset + duration) / 1000, pitch, velocity, hand};
  });
}

function update() {
  const value = props.value || {};
  const packed = typeof value.notes === "string" ? value.notes : "";
  const grown = text !== "" && packed.startsWith(text);
  const before = grown ? notes.length : 0;
  if (grown && fresh.from < notes.length) settle(); // the next ones come before these are there
  notes = grown ? notes.concat(parse(packed, text.length)) : parse(packed, 0);
  text = packed;
  const composing = value.composing === true;
  const restarted = !grown && notes.length === 0, finished = shown.composing && !composing;
  fresh = composing && !still.matches
    ? {from: Math.min(before, notes.length), since: performance.now()}
    : {from: notes.length, since: 0};
  tell(composing, value.label || "");
  const until = !composing && typeof value.until === "string" ? value.until : "";
  if (until !== tuned) nPieces += 1;
  tuned = until;
  untils = until.split(",").map((ms) => (Number(ms) < 0 ? Infinity : Number(ms) / 1000));
  shown = {
    bars: Array.isArray(value.bars) ? value.bars : [],
    n_bars: value.n_bars || 0,
    composing,
    label: value.label || "",
    url: until && `piece ${nPieces}`, // empty where there is nothing to hear
  };
  fitPitches();
  load();
  if (composing) fetchAhead(notes.slice(before));
  if (restarted) view.scrollLeft = 0;
  refresh(grown);
  if (finished) backToCursor();
}

function fitPitches() {
  let least = 45, most = 76; // at least three octaves, so that few notes do not look like many
  for (const note of notes) {
    least = Math.min(least, note.pitch);
    most = Math.max(most, note.pitch);
  }
  low = Math.max(least - 2, 0);
  high = Math.min(most + 3, 128);
}

// ---- time and place -----------------------------------------------------------------------

const start = () => shown.bars[0] || 0;
const barsEnd = () => shown.bars[shown.bars.length - 1] || 0;
const written = () => Math.max(shown.bars.length - 1, 0);
const meanBar = () => (written() ? (barsEnd() - start()) / written() : GUESSED_BAR_S);
const nBars = () => (shown.composing ? Math.max(shown.n_bars, written(), 1) : Math.max(written(), 1));

function span() { // seconds from edge to edge
  if (shown.composing) return Math.max(barsEnd(), start() + nBars() * meanBar());
  return barsEnd() || notes.reduce((last, note) => Math.max(last, note.end), 0) || 16 * GUESSED_BAR_S;
}

let box = {wide: 0, tall: 0, left: 0}; // asked of the browser once a drawing, not once a note
function measure() {
  box = {wide: view.clientWidth, tall: view.clientHeight, left: view.scrollLeft};
}

const room = () => Math.max(box.wide - GUTTER - 10, 1);
const width = () => Math.max(room(), nBars() * MIN_BAR);
const x = (time) => (time / span()) * width() - box.left; // within the stage
const timeAt = (clientX) => {
  measure();
  const inside = clientX - view.getBoundingClientRect().left - GUTTER + box.left;
  return Math.min(Math.max(inside / width(), 0), 1) * span();
};

function barAt(time) { // counted from 1
  const { bars } = shown;
  let bar = 1;
  while (bar < bars.length - 1 && time >= bars[bar] - 0.001) bar += 1;
  return bar;
}

const clock = (time) => {
  const whole = Math.max(Math.floor(time + 0.001), 0);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};
const length = () => (Number.isFinite(audio.duration) && audio.duration) || barsEnd();
