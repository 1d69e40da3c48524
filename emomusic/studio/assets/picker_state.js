// What was said, as one object, and the rules by which it changes.

const MAX_MIX = 3;
const MAX_CURVE = 12;
const MIX_DEFAULT = [{ name: "nostalgia", weight: 0.7 }, { name: "hope", weight: 0.3 }];

const state = { mode: "point", point: settled(0.6, 0.28), mix: [], curve: [], selected: 0 };
state.mix = MIX_DEFAULT.filter((part) => named(part.name));
// The curve as it was set: a shorter piece pushes points together, a longer one lets them back.
let keptCurve = null;

function nBars() {
  const bars = Math.floor(Number(props.n_bars));
  return bars >= 1 ? Math.min(bars, 512) : 16;
}

function defaultCurve() {
  const stops = [["calm", 0], ["tension", nBars() / 2], ["relief", nBars()]];
  return stops.filter(([name]) => named(name)).map(([name, bar]) => ({ bar, ...atName(name) }));
}

// No more than the piece: what lies beyond its end stands at the end, one behind the other.
function fitCurve(points, bars = nBars()) {
  const gap = Math.min(1, bars / Math.max(1, points.length - 1));
  const fitted = points.map((point, index) => {
    const latest = bars - (points.length - 1 - index) * gap;
    return { ...point, bar: Math.min(point.bar, latest) };
  });
  for (let i = 1; i < fitted.length; i += 1) {
    if (fitted[i].bar <= fitted[i - 1].bar) fitted[i].bar = fitted[i - 1].bar + gap;
  }
  return fitted.map((point) => ({ ...point, bar: Math.round(point.bar * 1000) / 1000 }));
}

function refitCurve() {
  state.curve = keptCurve ? fitCurve(keptCurve) : defaultCurve();
}

function keepCurve() {
  keptCurve = state.curve.map((point) => ({ ...point }));
}

function shares() {
  const total = state.mix.reduce((sum, part) => sum + part.weight, 0);
  return state.mix.map((part) => ({ point: atName(part.name), share: part.weight / total }));
}

function current() {
  if (state.mode === "mix") return mixed(state.mix);
  return state.mode === "curve" ? state.curve[state.selected] : state.point;
}

function moveCurrent(point) {
  if (state.mode === "point") state.point = { ...point };
  if (state.mode !== "curve") return;
  const { bar } = state.curve[state.selected];
  state.curve[state.selected] = { ...point, bar };
  keepCurve();
}

function shiftPoint(index, bar) {
  const [before, after] = [state.curve[index - 1], state.curve[index + 1]];
  const gap = Math.min(1, nBars() / Math.max(1, state.curve.length - 1));
  const low = before ? before.bar + gap : 0;
  const high = after ? after.bar - gap : nBars();
  if (low > high) return;
  state.curve[index].bar = clamp(bar, low, high);
  keepCurve();
}

// The widest gap is where a point is missed most; after the last point there may be one too.
function widestGap() {
  const bars = state.curve.map((point) => point.bar);
  const edges = [0, ...bars, nBars()];
  let best = [0, 0];
  for (let i = 1; i < edges.length; i += 1) {
    const isEnd = i === 1 || i === edges.length - 1;
    const length = (edges[i] - edges[i - 1]) * (isEnd ? 0.99 : 1);
    if (length > best[0]) best = [length, (edges[i] + edges[i - 1]) / 2];
  }
  return best[1];
}

function addPoint(wanted = widestGap()) {
  const bar = clamp(Math.round(wanted), 0, nBars());
  const isTaken = state.curve.some((point) => Math.abs(point.bar - bar) < 1);
  if (isTaken || state.curve.length >= MAX_CURVE) return false;
  state.curve.push({ bar, ...placeAt(bar) });
  state.curve.sort((a, b) => a.bar - b.bar);
  keepCurve();
  state.selected = state.curve.findIndex((point) => point.bar === bar);
  return true;
}

function placeAt(bar) {
  const { valence, arousal } = curveAt(state.curve, bar);
  return settled(valence, arousal);
}

function removePoint(index) {
  if (state.curve.length <= 1) return false;
  state.curve.splice(index, 1);
  keepCurve();
  state.selected = clamp(state.selected - (index < state.selected ? 1 : 0), 0, state.curve.length - 1);
  return true;
}

function valueNow() {
  const { mode, point, mix, curve } = state;
  return structuredClone({ mode, point, mix, curve });
}

const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
const isPlace = (p) => p && isNumber(p.valence) && isNumber(p.arousal);

// What Python sends holds the mode it speaks of; the other modes stay as they are.
function accept(value) {
  if (!value || typeof value !== "object") return;
  if (isPlace(value.point)) {
    state.point = settled(value.point.valence, value.point.arousal, value.point.name);
  }
  const mix = (Array.isArray(value.mix) ? value.mix : []).filter((part) => part && named(part.name));
  if (mix.length) {
    const weight = (part) => (isNumber(part.weight) ? clamp(part.weight, 0.05, 1) : 0.5);
    state.mix = mix.slice(0, MAX_MIX).map((part) => ({ name: part.name, weight: weight(part) }));
  }
  const curve = (Array.isArray(value.curve) ? value.curve : []).filter(
    (point) => isPlace(point) && isNumber(point.bar),
  );
  if (curve.length) {
    const points = curve.map((p) => ({ bar: p.bar, ...settled(p.valence, p.arousal, p.name) }));
    keptCurve = points.sort((a, b) => a.bar - b.bar);
    refitCurve();
  }
  state.selected = clamp(state.selected, 0, state.curve.length - 1);
  if (["point", "mix", "curve"].includes(value.mode)) state.mode = value.mode;
}

refitCurve();
accept(props.value);
