// The picker: tabs of three modes, the circle, the panel beside it, the strip below.

const INPUT_EVERY_MS = 150;
const selfId = `picker-${Math.random().toString(36).slice(2, 8)}`;
let [lastSent, waiting] = [0, null];

// gradio tells of a change by itself whenever the value differs from what it was.
function send(isDone) {
  clearTimeout(waiting);
  const wait = isDone ? 0 : lastSent + INPUT_EVERY_MS - Date.now();
  if (wait > 0) {
    waiting = setTimeout(() => send(false), wait);
    return;
  }
  lastSent = Date.now();
  props.value = valueNow();
}

function step(isDone) {
  render();
  send(isDone);
}

const actions = {
  current,
  redraw: () => render(),
  movable: () => state.mode !== "mix",
  bars: nBars,
  points: () => state.curve,
  preview(point) {
    moveCurrent(point);
    render();
  },
  move(point, isDone) {
    moveCurrent(point);
    step(isDone);
  },
  select(index) {
    if (index === state.selected) return;
    state.selected = index;
    render();
  },
  shift(index, bar, isDone) {
    shiftPoint(index, bar);
    step(isDone);
  },
  add(bar) {
    if (!addPoint(bar)) return;
    step(true);
    strip.focus(state.selected);
  },
  remove(index) {
    if (!removePoint(index)) return;
    step(true);
    strip.focus(state.selected);
  },
};

const plane = makePlane(find(".plane"), actions);
const strip = makeStrip(find(".strip"), actions);
const mainSearch = makeSearch(find(".panel-point .search"), "Find an emotion by name", (name) =>
  actions.move(atName(name), true),
);
const mixRows = [...element.querySelectorAll(".mix-row")].map(makeMixRow);

function makeMixRow(row, index) {
  const number = index + 1;
  const search = makeSearch(row.querySelector(".search"), `Emotion ${number} of the mixture`, (name) => {
    state.mix[index].name = name;
    step(true);
  });
  const weight = row.querySelector("input[type=range]");
  const remove = row.querySelector(".mix-remove");
  const setWeight = (isDone) => {
    state.mix[index].weight = Number(weight.value) / 100;
    step(isDone);
  };
  weight.setAttribute("aria-label", `Weight of emotion ${number}`);
  remove.setAttribute("aria-label", `Remove emotion ${number}`);
  listen(weight, setWeight);
  remove.addEventListener("click", () => {
    state.mix.splice(index, 1);
    step(true);
    find(".mix-add").focus();
  });
  return { row, search, weight, remove, share: row.querySelector("output") };
}

// Native sliders tell of each step (input) and of the last (change): neither is gradio's.
function listen(range, act) {
  for (const [type, isDone] of [["input", false], ["change", true]]) {
    range.addEventListener(type, (event) => {
      event.stopPropagation();
      act(isDone);
    });
  }
}

function listenPanel() {
  for (const axis of ["valence", "arousal"]) {
    const range = find(`.axis-${axis} input`);
    listen(range, (isDone) => {
      const moved = { ...current(), [axis]: Number(range.value) };
      actions.move(settled(moved.valence, moved.arousal), isDone);
    });
  }
  for (const radio of element.querySelectorAll(".picker-modes input")) {
    radio.name = selfId;
    radio.addEventListener("change", (event) => {
      event.stopPropagation();
      state.mode = radio.value;
      step(true);
    });
  }
  find(".mix-add").addEventListener("click", addMixRow);
  find(".curve-add").addEventListener("click", () => actions.add());
  find(".curve-remove").addEventListener("click", () => actions.remove(state.selected));
}

function addMixRow() {
  const used = state.mix.map((part) => part.name);
  const free = nameTable().find((entry) => !used.includes(entry.name));
  if (!free || state.mix.length >= MAX_MIX) return;
  state.mix.push({ name: free.name, weight: 0.5 });
  step(true);
  mixRows[state.mix.length - 1].search.input.focus();
}

function fill(range, low, high) {
  const share = ((Number(range.value) - low) / (high - low)) * 100;
  range.style.setProperty("--at", `${share.toFixed(1)}%`);
}

function showAxes(point) {
  for (const axis of ["valence", "arousal"]) {
    const range = find(`.axis-${axis} input`);
    range.value = point[axis];
    range.setAttribute("aria-valuetext", spoken(point[axis]));
    fill(range, -1, 1);
    find(`.axis-${axis} output`).textContent = signed(point[axis]);
  }
}

function showName(point) {
  const told = point.name || nearestName(point)?.name || "";
  find(".now-near").textContent = point.name ? "" : "near";
  find(".now-name").textContent = told;
  // A mixture has no handle that would say where it lies.
  find(".now-feeling").setAttribute("aria-live", state.mode === "mix" ? "polite" : "off");
  const values = `valence ${signed(point.valence)} · arousal ${signed(point.arousal)}`;
  const ordinal = `point ${state.selected + 1} of ${state.curve.length} · bar ${point.bar} of ${nBars()}`;
  find(".now-where").textContent = state.mode === "curve" ? ordinal : values;
  find(".picker").style.setProperty("--feeling", colourOf(point));
}

function showMix() {
  const parts = shares();
  mixRows.forEach(({ row, search, weight, remove, share }, index) => {
    const part = state.mix[index];
    row.hidden = !part;
    if (!part) return;
    if (document.activeElement !== search.input) search.show(part.name);
    weight.value = Math.round(part.weight * 100);
    const percent = `${Math.round(parts[index].share * 100)}%`;
    weight.setAttribute("aria-valuetext", `${percent} ${part.name}`);
    fill(weight, 5, 100);
    weight.style.setProperty("--fill", colourOf(parts[index].point));
    share.textContent = percent;
    remove.disabled = state.mix.length === 1;
  });
  find(".mix-add").hidden = state.mix.length >= MAX_MIX;
}

function showPanel(point) {
  const picker = find(".picker");
  if (picker.dataset.mode !== state.mode) picker.dataset.mode = state.mode;
  for (const radio of element.querySelectorAll(".picker-modes input")) {
    radio.checked = radio.value === state.mode;
  }
  find(".panel-point").hidden = state.mode === "mix";
  find(".panel-mix").hidden = state.mode !== "mix";
  find(".picker-time").hidden = state.mode !== "curve";
  find(".curve-add").disabled = state.curve.length >= MAX_CURVE;
  find(".curve-remove").disabled = state.curve.length <= 1;
  if (document.activeElement !== mainSearch.input) mainSearch.show(point.name);
}

function render() {
  const point = current();
  const inCurve = state.mode === "curve";
  showPanel(point);
  showName(point);
  showAxes(point);
  if (state.mode === "mix") showMix();
  plane.show({
    point,
    parts: state.mode === "mix" ? shares() : [],
    path: inCurve ? state.curve : [],
    selected: inCurve ? state.selected : -1,
    movable: actions.movable(),
  });
  if (inCurve) strip.show(state.curve, state.selected);
}

listenPanel();
plane.resize();
render();
// Python is told where the strip had to change what it sent, or what the length changes.
function follow(act) {
  const before = JSON.stringify(props.value?.curve);
  act();
  render();
  if (state.mode === "curve" && JSON.stringify(state.curve) !== before) props.value = valueNow();
}
watch("value", () => follow(() => accept(props.value)));
watch("n_bars", () => follow(refitCurve));
