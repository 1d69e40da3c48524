// The plane of valence and arousal: colours, nearest names, ways between points.

const QUADRANT_COLOURS = [[224, 161, 0], [209, 73, 91], [91, 125, 177], [79, 157, 105]];
const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const round2 = (x) => Math.round(x * 100) / 100 + 0; // + 0: never -0
const signed = (x) => (x < 0 ? "\u2212" : "") + Math.abs(x).toFixed(2);
const spoken = (x) => round2(x).toFixed(2);

function find(selector) {
  return element.querySelector(selector);
}

// Text goes in as text only: names come from Python and from files that people load.
function make(tag, attributes = {}, text = null) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

function draw(parent, tag, attributes = {}, text = null) {
  const made = document.createElementNS(SVG_NAMESPACE, tag);
  place(made, attributes);
  if (text !== null) made.textContent = text;
  parent.append(made);
  return made;
}

function place(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

function distance(a, b) {
  return Math.hypot(a.valence - b.valence, a.arousal - b.arousal);
}

function nameTable() {
  return Array.isArray(props.names) ? props.names : [];
}

function named(name) {
  return nameTable().find((entry) => entry.name === name) || null;
}

function nearestName(point) {
  let best = null;
  for (const entry of nameTable()) {
    if (best === null || distance(entry, point) < distance(best, point)) best = entry;
  }
  return best;
}

// A point that lies on a name carries it; a name that was moved away from is none.
function settled(valence, arousal, name = null) {
  const point = {
    valence: round2(clamp(valence, -1, 1)),
    arousal: round2(clamp(arousal, -1, 1)),
    name: null,
  };
  const there = nameTable().filter((entry) => distance(entry, point) < 0.005);
  const chosen = there.find((entry) => entry.name === name) || there[0];
  if (chosen) point.name = chosen.name;
  return point;
}

function atName(name) {
  const entry = named(name);
  return settled(entry.valence, entry.arousal, name);
}

// Corners have the quadrants' colours; between them they blend.
function colourOf(point) {
  const right = (point.valence + 1) / 2;
  const up = (point.arousal + 1) / 2;
  const sharp = (x) => clamp(0.5 + (x - 0.5) * 1.7, 0, 1);
  const [r, u] = [sharp(right), sharp(up)];
  const shares = [r * u, (1 - r) * u, (1 - r) * (1 - u), r * (1 - u)];
  const mixed = [0, 1, 2].map((channel) =>
    Math.round(shares.reduce((sum, share, q) => sum + share * QUADRANT_COLOURS[q][channel], 0)),
  );
  return `rgb(${mixed.join(", ")})`;
}

function between(before, after, share) {
  const part = (axis) => before[axis] + share * (after[axis] - before[axis]);
  return settled(part("valence"), part("arousal"));
}

function curveAt(points, bar) {
  if (bar <= points[0].bar) return points[0];
  for (let i = 1; i < points.length; i += 1) {
    const [before, after] = [points[i - 1], points[i]];
    if (bar <= after.bar) return between(before, after, (bar - before.bar) / (after.bar - before.bar));
  }
  return points[points.length - 1];
}

function mixed(parts) {
  const total = parts.reduce((sum, part) => sum + part.weight, 0);
  const mean = (axis) =>
    parts.reduce((sum, part) => sum + part.weight * named(part.name)[axis], 0) / total;
  return settled(mean("valence"), mean("arousal"));
}

function toldName(point) {
  if (point.name) return point.name;
  const nearest = nearestName(point);
  return nearest ? `near ${nearest.name}` : "";
}

function toldPoint(point) {
  return `valence ${spoken(point.valence)}, arousal ${spoken(point.arousal)}, ${toldName(point)}`;
}
