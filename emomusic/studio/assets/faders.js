// Faders: an attribute is free and follows the emotion's suggestion until it is touched.

const INPUT_EVERY_MS = 150;
const selfId = `faders-${Math.random().toString(36).slice(2, 8)}`;
const state = { set: {}, suggested: {} };
let [lastSent, waiting] = [0, null];
let rows = new Map();
let groups = [];

const find = (selector) => element.querySelector(selector);
const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const isNumber = (x) => typeof x === "number" && Number.isFinite(x);
const isFixed = (name) => Object.hasOwn(state.set, name);

function make(parent, tag, attributes = {}, text = null) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  parent.append(made);
  return made;
}

// As many decimals as a hand can set: about a hundred steps from end to end.
function decimalsOf({ low, high }) {
  if (high - low >= 20) return 0;
  return high - low >= 2 ? 1 : 2;
}

function told(attribute, value) {
  const text = Math.abs(value).toFixed(decimalsOf(attribute));
  return (value < 0 && Number(text) !== 0 ? "\u2212" : "") + text;
}

function shown(attribute) {
  if (isFixed(attribute.name)) return state.set[attribute.name];
  return suggestionOf(attribute) ?? (attribute.low + attribute.high) / 2;
}

function suggestionOf({ name }) {
  return Object.hasOwn(state.suggested, name) ? state.suggested[name] : null;
}

function shareOf({ low, high }, value) {
  return clamp((value - low) / (high - low), 0, 1);
}

function build() {
  const wasOpen = new Set(groups.filter(({ box }) => box.open).map(({ title }) => title));
  const host = find(".faders-groups");
  host.replaceChildren();
  rows = new Map();
  const titles = [...new Set(ATTRIBUTES.map((attribute) => attribute.group))];
  // Two columns where there is room: opening a group moves nothing in the other one.
  const columns = [0, 1].map(() => make(host, "div", { class: "fader-column" }));
  groups = titles.map((title, index) => {
    const column = columns[index < titles.length / 2 ? 0 : 1];
    const box = make(column, "details", { class: "fader-group" });
    box.open = wasOpen.size ? wasOpen.has(title) : index === 0;
    const head = make(box, "summary");
    make(head, "span", { class: "group-title" }, title);
    const count = make(head, "span", { class: "group-count" });
    const members = ATTRIBUTES.filter((attribute) => attribute.group === title);
    for (const attribute of members) rows.set(attribute.name, makeRow(box, attribute));
    return { title, box, count, members };
  });
}

function makeRow(host, attribute) {
  const { name, label, unit, low, high, explanation } = attribute;
  const id = `${selfId}-${name}`;
  const row = make(host, "div", { class: "fader", "data-name": name, title: explanation });
  make(row, "label", { class: "fader-label", for: id }, label);
  const value = make(row, "output", { class: "fader-value", for: id });
  const number = make(value, "span", { class: "fader-number" });
  make(value, "span", { class: "fader-unit" }, unit);
  const reset = make(row, "button", {
    type: "button", class: "fader-reset", "aria-label": `free ${label} again`,
  });
  make(reset, "span", { "aria-hidden": "true" }, "×");
  const track = make(row, "div", { class: "fader-track" });
  make(track, "span", { class: "fader-tick", "aria-hidden": "true" });
  const range = make(track, "input", {
    type: "range", id, min: low, max: high, step: 10 ** -decimalsOf(attribute),
    "aria-describedby": `${id}-help`,
  });
  make(row, "span", { class: "fader-free", "aria-hidden": "true" }, "free");
  make(row, "span", { class: "hidden-text", id: `${id}-help` }, explanation);
  return { row, range, number, reset, attribute };
}

function showRow({ row, range, number, reset, attribute }) {
  const fixed = isFixed(attribute.name);
  const [value, suggestion] = [shown(attribute), suggestionOf(attribute)];
  const isKnown = fixed || suggestion !== null;
  row.dataset.state = fixed ? "set" : "free";
  range.value = value;
  number.textContent = isKnown ? told(attribute, value) : "";
  row.classList.toggle("unknown", !isKnown);
  reset.disabled = !fixed;
  const at = shareOf(attribute, value);
  const tick = suggestion === null ? at : shareOf(attribute, suggestion);
  row.classList.toggle("has-tick", fixed && suggestion !== null);
  const places = { "--at": at, "--tick": tick, "--from": Math.min(at, tick), "--to": Math.max(at, tick) };
  for (const [key, share] of Object.entries(places)) row.style.setProperty(key, share.toFixed(4));
  range.setAttribute("aria-valuetext", spoken(attribute, value, suggestion));
}

function spoken(attribute, value, suggestion) {
  const text = `${value.toFixed(decimalsOf(attribute))} ${attribute.unit}`;
  if (isFixed(attribute.name)) {
    const aside = suggestion === null ? "" : `, ${suggestion.toFixed(decimalsOf(attribute))} suggested`;
    return `${text}, set${aside}`;
  }
  return suggestion === null ? "free" : `free, ${text} suggested`;
}

function render() {
  for (const row of rows.values()) showRow(row);
  for (const { count, members } of groups) {
    const n = members.filter(({ name }) => isFixed(name)).length;
    count.textContent = n ? `${n} set` : "all free";
    count.classList.toggle("some", n > 0);
  }
  const n = Object.keys(state.set).length;
  find(".faders-told").textContent = n
    ? `${n} set by you, the rest follow the feeling`
    : "All free: they follow the feeling";
  find(".free-all").disabled = n === 0;
}

// gradio tells of a change by itself whenever the value differs from what it was.
function send(isDone) {
  clearTimeout(waiting);
  const wait = isDone ? 0 : lastSent + INPUT_EVERY_MS - Date.now();
  if (wait > 0) {
    waiting = setTimeout(() => send(false), wait);
    return;
  }
  lastSent = Date.now();
  props.value = structuredClone(state);
}

function step(isDone) {
  render();
  send(isDone);
}

function numbers(table) {
  const known = Object.entries(table).filter(([name, value]) => rows.has(name) && isNumber(value));
  return Object.fromEntries(known);
}

// Python may send only what is suggested, or only what is set: the other part stays.
function accept(value, parts = value?.keep ? ["suggested"] : ["set", "suggested"]) {
  for (const part of parts) {
    const table = value?.[part];
    if (table && typeof table === "object") state[part] = numbers(table);
  }
}

function rowOf(event) {
  return rows.get(event.target.closest?.(".fader")?.dataset.name);
}

function touch(event, isDone) {
  if (event.target.type !== "range") return;
  event.stopPropagation();
  const { attribute, range } = rowOf(event);
  state.set[attribute.name] = Number(range.value);
  step(isDone);
}

function free(event) {
  if (event.target.closest(".free-all")) {
    state.set = {};
    step(true);
    find("summary")?.focus();
  } else if (event.target.closest(".fader-reset")) {
    const { attribute, range } = rowOf(event);
    delete state.set[attribute.name];
    step(true);
    range.focus(); // the button is disabled now and would lose the focus
  }
}

// A press on the thumb without a move means: keep it here.
function hold(event) {
  if (event.target.type !== "range" || isFixed(rowOf(event).attribute.name)) return;
  if (event.type === "keydown" && event.key !== "Enter") return;
  state.set[rowOf(event).attribute.name] = Number(event.target.value);
  step(true);
}

element.addEventListener("input", (event) => touch(event, false));
element.addEventListener("change", (event) => touch(event, true));
element.addEventListener("click", (event) => (free(event), hold(event)));
element.addEventListener("keydown", hold);
build();
accept(props.value, ["set", "suggested"]);
render();

// The browser holds the whole value, also where Python sent a part of it.
watch("value", () => {
  accept(props.value);
  render();
  if (JSON.stringify(props.value) !== JSON.stringify(state)) props.value = structuredClone(state);
});
