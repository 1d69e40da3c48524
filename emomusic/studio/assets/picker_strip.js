// The strip of time: valence and arousal as two lines over the bars, with points to be moved.

const STRIP = { left: 16, right: 16, top: 40, bottom: 26, height: 178 };
const STRIP_SAMPLES = 48;

function makeStrip(svg, actions) {
  const id = `picker-strip-${Math.random().toString(36).slice(2, 8)}`;
  const layers = {};
  let [width, drag] = [0, null];

  const span = () => width - STRIP.left - STRIP.right;
  const bottom = STRIP.height - STRIP.bottom;
  const x = (bar) => STRIP.left + (bar / actions.bars()) * span();
  const y = (value) => STRIP.top + ((1 - value) / 2) * (bottom - STRIP.top);
  const barAt = (event) =>
    ((event.clientX - svg.getBoundingClientRect().left - STRIP.left) / span()) * actions.bars();

  function build() {
    layers.mood = draw(draw(svg, "defs"), "linearGradient", { id: `${id}-mood` });
    layers.band = draw(svg, "rect", { class: "strip-band", rx: 10, fill: `url(#${id}-mood)` });
    layers.grid = draw(svg, "g", { class: "strip-grid" });
    layers.valence = draw(svg, "polyline", { class: "strip-line valence" });
    layers.arousal = draw(svg, "polyline", { class: "strip-line arousal" });
    layers.points = draw(svg, "g", { class: "strip-points" });
  }

  function showGrid() {
    layers.grid.replaceChildren();
    draw(layers.grid, "line", { x1: x(0), x2: x(actions.bars()), y1: y(0), y2: y(0) });
    const step = [1, 2, 4, 8, 16, 32, 64, 128].find((n) => (n / actions.bars()) * span() >= 42);
    for (let bar = 0; bar <= actions.bars(); bar += step) {
      draw(layers.grid, "line", { class: "tick", x1: x(bar), x2: x(bar), y1: bottom, y2: bottom + 4 });
      draw(layers.grid, "text", { x: x(bar), y: bottom + 18 }, String(bar));
    }
  }

  function showLines(points) {
    const bars = [0, ...points.map((point) => point.bar), actions.bars()];
    for (const axis of ["valence", "arousal"]) {
      const way = bars.map((bar) => `${x(bar)},${y(curveAt(points, bar)[axis])}`).join(" ");
      place(layers[axis], { points: way });
    }
    const stops = Array.from({ length: STRIP_SAMPLES + 1 }, (_, i) => i / STRIP_SAMPLES);
    layers.mood.replaceChildren();
    for (const offset of stops) {
      const colour = colourOf(curveAt(points, offset * actions.bars()));
      draw(layers.mood, "stop", { offset, "stop-color": colour });
    }
    place(layers.band, { x: x(0), y: STRIP.top, width: span(), height: bottom - STRIP.top });
  }

  function makePoint() {
    const point = draw(layers.points, "g", { class: "strip-point", role: "slider", tabindex: "0" });
    draw(point, "line", { class: "stem", y1: STRIP.top - 6, y2: bottom });
    draw(point, "circle", { class: "grip", cy: STRIP.top - 8, r: 22 });
    draw(point, "circle", { class: "knob", cy: STRIP.top - 8, r: 9 });
    draw(point, "text", { class: "number", y: STRIP.top - 4 });
    draw(point, "text", { class: "label", y: STRIP.top - 24 });
    return point;
  }

  // Handles are kept and moved, never made anew: the one in use would lose the focus.
  function showPoints(points, selected) {
    while (layers.points.children.length > points.length) layers.points.lastChild.remove();
    while (layers.points.children.length < points.length) makePoint();
    points.forEach((point, index) => showPoint(points, index, index === selected));
    hideCrowdedLabels(selected);
  }

  function showPoint(points, index, isSelected) {
    const [point, node] = [points[index], layers.points.children[index]];
    place(node, {
      transform: `translate(${x(point.bar)} 0)`, "data-index": index,
      "aria-label": `Point ${index + 1} of ${points.length}`, "aria-valuemin": 0,
      "aria-valuemax": actions.bars(), "aria-valuenow": point.bar,
      "aria-valuetext": `bar ${point.bar}, ${toldPoint(point)}`,
      "aria-orientation": "horizontal",
    });
    node.classList.toggle("selected", isSelected);
    if (isSelected) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
    node.querySelector(".knob").style.fill = colourOf(point);
    node.querySelector(".number").textContent = String(index + 1);
    const label = node.querySelector(".label");
    label.textContent = point.name || `${signed(point.valence)}, ${signed(point.arousal)}`;
    const half = label.getBBox().width / 2;
    const shift = clamp(x(point.bar), half + 2, width - half - 2) - x(point.bar);
    place(label, { x: shift });
  }

  function hideCrowdedLabels(selected) {
    const nodes = [...layers.points.children];
    const order = [nodes[selected], ...nodes].filter(Boolean);
    const taken = [];
    for (const node of new Set(order)) {
      const label = node.querySelector(".label");
      label.style.visibility = "visible";
      const box = label.getBoundingClientRect();
      const clash = taken.some((other) => box.left < other.right + 6 && other.left < box.right + 6);
      if (clash) label.style.visibility = "hidden";
      else taken.push(box);
    }
  }

  function show(points, selected) {
    width = Math.round(svg.getBoundingClientRect().width);
    if (width < 80) return; // hidden now; shown again by the observer
    place(svg, { viewBox: `0 0 ${width} ${STRIP.height}`, height: STRIP.height });
    showGrid();
    showLines(points);
    showPoints(points, selected);
  }

  function indexOf(event) {
    const node = event.target.closest?.(".strip-point");
    return node ? Number(node.dataset.index) : -1;
  }

  function down(event) {
    const index = indexOf(event);
    if (event.button || index < 0) return;
    event.preventDefault();
    actions.select(index);
    drag = { index, offset: actions.points()[index].bar - barAt(event) };
    svg.setPointerCapture(event.pointerId);
    layers.points.children[index].focus({ preventScroll: true });
  }

  function finish(event) {
    if (!drag) return;
    const { index, offset } = drag;
    drag = null;
    actions.shift(index, Math.round(barAt(event) + offset), true);
  }

  function key(event) {
    const index = indexOf(event);
    if (index < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -4, PageUp: 4 };
    const removes = event.key === "Delete" || event.key === "Backspace";
    if (!removes && !step[event.key]) return;
    event.preventDefault();
    if (removes) actions.remove(index);
    else actions.shift(index, actions.points()[index].bar + step[event.key] * (event.shiftKey ? 4 : 1), true);
  }

  build();
  svg.addEventListener("pointerdown", down);
  svg.addEventListener("pointermove", (event) => {
    if (drag) actions.shift(drag.index, Math.round(barAt(event) + drag.offset), false);
  });
  svg.addEventListener("pointerup", finish);
  svg.addEventListener("pointercancel", finish);
  svg.addEventListener("keydown", key);
  svg.addEventListener("focusin", (event) => indexOf(event) >= 0 && actions.select(indexOf(event)));
  svg.addEventListener("dblclick", (event) => indexOf(event) < 0 && actions.add(barAt(event)));
  new ResizeObserver(() => actions.redraw()).observe(svg);
  const focus = (index) => layers.points.children[index]?.focus({ preventScroll: true });
  return { show, focus };
}
