// The circle: named emotions printed on it, a handle, and what a mixture or a curve adds.

const PLANE_MARGIN = 2; // the handle may stand out of the square
const MAX_PRINTED = 24;
const NEAR_NAME_PX = 8;
const AXIS_WORDS = [
  ["excited", 0, 1, "middle", 16], ["calm", 0, -1, "middle", -8],
  ["unpleasant", -1, 0, "start", -6], ["pleasant", 1, 0, "end", -6],
];

function makePlane(svg, actions) {
  const id = `picker-plane-${Math.random().toString(36).slice(2, 8)}`;
  const layers = {};
  let size = 0;
  let drag = null;

  const scale = () => (size - 2 * PLANE_MARGIN) / 2;
  const x = (valence) => PLANE_MARGIN + (valence + 1) * scale();
  const y = (arousal) => PLANE_MARGIN + (1 - arousal) * scale();
  const pointAt = (event) => {
    const box = svg.getBoundingClientRect();
    return settled(
      (event.clientX - box.left - PLANE_MARGIN) / scale() - 1,
      1 - (event.clientY - box.top - PLANE_MARGIN) / scale(),
    );
  };

  function tint(parent) {
    const definitions = draw(parent, "defs");
    const corners = [[1, 0], [0, 0], [0, 1], [1, 1]];
    corners.forEach(([cx, cy], q) => {
      const gradient = draw(definitions, "radialGradient", { id: `${id}-q${q}`, cx, cy, r: 1.02 });
      const colour = `rgb(${QUADRANT_COLOURS[q].join(",")})`;
      draw(gradient, "stop", { offset: 0, "stop-color": colour, "stop-opacity": 0.62 });
      draw(gradient, "stop", { offset: 0.55, "stop-color": colour, "stop-opacity": 0.2 });
      draw(gradient, "stop", { offset: 1, "stop-color": colour, "stop-opacity": 0 });
    });
    const clip = draw(definitions, "clipPath", { id: `${id}-circle` });
    draw(clip, "circle", { cx: x(0), cy: y(0), r: scale() });
    const side = 2 * scale();
    const square = { x: PLANE_MARGIN, y: PLANE_MARGIN, width: side, height: side };
    draw(parent, "rect", { class: "plane-square", rx: 18, ...square });
    const inside = draw(parent, "g", { "clip-path": `url(#${id}-circle)` });
    draw(inside, "rect", { class: "plane-disc", ...square });
    for (let q = 0; q < 4; q += 1) draw(inside, "rect", { fill: `url(#${id}-q${q})`, ...square });
  }

  function axes(parent) {
    draw(parent, "circle", { class: "plane-ring", cx: x(0), cy: y(0), r: scale() });
    draw(parent, "circle", { class: "plane-ring inner", cx: x(0), cy: y(0), r: scale() / 2 });
    draw(parent, "line", { class: "plane-axis", x1: x(-1), y1: y(0), x2: x(1), y2: y(0) });
    draw(parent, "line", { class: "plane-axis", x1: x(0), y1: y(-1), x2: x(0), y2: y(1) });
    return AXIS_WORDS.map(([word, v, a, anchor, dy]) => {
      const at = { x: x(v) + (v ? -10 * v : 0), y: y(a) + dy };
      return draw(parent, "text", { class: "plane-word", "text-anchor": anchor, ...at }, word);
    });
  }

  // Greedy: in the order of Python's list, each name is printed where it overlaps nothing.
  function printNames(parent, words) {
    const taken = words.map(boxOf);
    const printed = new Set();
    for (const entry of nameTable()) {
      if (printed.size === MAX_PRINTED) break;
      if (printName(parent, entry, taken)) printed.add(entry.name);
    }
    for (const entry of nameTable()) {
      const radius = printed.has(entry.name) ? 3 : 2;
      const dot = draw(parent, "circle", {
        class: "plane-dot", cx: x(entry.valence), cy: y(entry.arousal), r: radius,
        "data-name": entry.name,
      });
      draw(dot, "title", {}, entry.name);
    }
  }

  function printName(parent, entry, taken) {
    const [cx, cy] = [x(entry.valence), y(entry.arousal)];
    const label = draw(parent, "text", { class: "plane-name", "data-name": entry.name }, entry.name);
    const spots = [[7, 4, "start"], [-7, 4, "end"], [0, -7, "middle"], [0, 16, "middle"]];
    for (const [dx, dy, anchor] of spots) {
      place(label, { x: cx + dx, y: cy + dy, "text-anchor": anchor, "data-below": dy > 4 });
      const box = boxOf(label);
      const dot = { left: cx - 3, right: cx + 3, top: cy - 3, bottom: cy + 3 };
      const inside = box.left > 4 && box.right < size - 4 && box.top > 4 && box.bottom < size - 4;
      if (inside && !taken.some((other) => overlap(box, other) || overlap(dot, other))) {
        taken.push(box, dot);
        return true;
      }
    }
    label.remove();
    return false;
  }

  function boxOf(text) {
    const box = text.getBBox();
    return { left: box.x - 3, right: box.x + box.width + 3, top: box.y, bottom: box.y + box.height };
  }

  function overlap(a, b) {
    return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  }

  function resize() {
    const width = Math.round(svg.getBoundingClientRect().width);
    if (width < 80 || width === size) return; // 0 while a tab hides the page
    size = width;
    svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
    layers.ground.replaceChildren();
    tint(layers.ground);
    printNames(layers.ground, axes(layers.ground));
    actions.redraw();
  }

  function build() {
    layers.ground = draw(svg, "g", { class: "plane-ground" });
    layers.links = draw(svg, "g", { class: "plane-links" });
    layers.others = draw(svg, "g", { class: "plane-others" });
    layers.cross = draw(svg, "path", { class: "plane-cross" });
    layers.handle = draw(svg, "g", { class: "plane-handle", role: "slider", tabindex: "0" });
    draw(layers.handle, "circle", { class: "handle-focus", r: 19 });
    draw(layers.handle, "circle", { class: "handle-halo", r: 13.5 });
    layers.core = draw(layers.handle, "circle", { class: "handle-core", r: 10 });
    place(layers.handle, { "aria-label": "Feeling", "aria-valuemin": -1, "aria-valuemax": 1 });
  }

  function show({ point, parts = [], path = [], selected = -1, movable = true }) {
    if (!size) return;
    const [px, py] = [x(point.valence), y(point.arousal)];
    layers.links.replaceChildren();
    layers.others.replaceChildren();
    for (const part of parts) showPart(part, px, py);
    if (path.length) showPath(path, selected);
    showNames([point, ...parts.map((part) => part.point), ...path].map((at) => at.name));
    place(layers.cross, { d: `M${px},${py}V${y(0)}M${px},${py}H${x(0)}` });
    layers.core.style.fill = colourOf(point);
    place(layers.handle, {
      transform: `translate(${px} ${py})`, "aria-valuenow": point.valence,
      "aria-valuetext": toldPoint(point), "aria-disabled": String(!movable),
      tabindex: movable ? 0 : -1,
    });
  }

  // Printed names step aside for what stands on them.
  function showNames(covered) {
    for (const label of layers.ground.querySelectorAll(".plane-name")) {
      label.classList.toggle("here", covered.includes(label.dataset.name));
    }
  }

  function showPart({ point, share }, px, py) {
    const [qx, qy] = [x(point.valence), y(point.arousal)];
    const width = 1 + 5 * share;
    draw(layers.links, "line", { x1: qx, y1: qy, x2: px, y2: py, "stroke-width": width });
    const dot = draw(layers.others, "circle", { class: "plane-part", cx: qx, cy: qy, r: 4 + 5 * share });
    dot.style.fill = colourOf(point);
    draw(dot, "title", {}, point.name);
  }

  function showPath(path, selected) {
    const points = path.map((p) => `${x(p.valence)},${y(p.arousal)}`).join(" ");
    draw(layers.links, "polyline", { points, "stroke-width": 2 });
    path.forEach((point, index) => {
      if (index === selected) return;
      const [cx, cy] = [x(point.valence), y(point.arousal)];
      const dot = draw(layers.others, "circle", { class: "plane-stop", cx, cy, r: 9, "data-index": index });
      dot.style.fill = colourOf(point);
      draw(layers.others, "text", { class: "plane-number", x: cx, y: cy + 4 }, String(index + 1));
    });
  }

  function nameUnder(event, point) {
    const printed = event.target.dataset?.name;
    if (printed) return printed;
    const nearest = nearestName(point);
    return nearest && distance(nearest, point) * scale() < NEAR_NAME_PX ? nearest.name : null;
  }

  function down(event) {
    if (event.button || !actions.movable()) return;
    event.preventDefault();
    const stop = event.target.dataset?.index;
    if (stop !== undefined) actions.select(Number(stop));
    const name = stop === undefined ? nameUnder(event, pointAt(event)) : null;
    drag = { x: event.clientX, y: event.clientY, moved: false, name, stop };
    svg.setPointerCapture(event.pointerId);
    layers.handle.focus({ preventScroll: true });
    if (stop === undefined) actions.preview(pointAt(event));
  }

  function moved(event) {
    if (!drag) return;
    drag.moved ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 4;
    if (drag.moved) actions.move(pointAt(event), false);
  }

  function up(event) {
    if (!drag) return;
    const { name, moved: wasMoved, stop } = drag;
    drag = null;
    if (!wasMoved && name) actions.move(atName(name), true);
    else if (wasMoved || stop === undefined) actions.move(pointAt(event), true);
  }

  function key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const step = steps[event.key];
    if (!step || !actions.movable() || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const length = event.shiftKey ? 0.1 : 0.02;
    const point = actions.current();
    actions.move(settled(point.valence + step[0] * length, point.arousal + step[1] * length), true);
  }

  build();
  svg.addEventListener("pointerdown", down);
  svg.addEventListener("pointermove", moved);
  svg.addEventListener("pointerup", up);
  svg.addEventListener("pointercancel", () => {
    if (drag) actions.move(actions.current(), true);
    drag = null;
  });
  layers.handle.addEventListener("keydown", key);
  new ResizeObserver(resize).observe(svg);
  return { show, resize };
}
