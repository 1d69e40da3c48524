// A field that finds an emotion by its name or by another word for it: an ARIA combobox.

let searchCount = 0;

function searchFold(text) {
  return text.trim().toLowerCase().replace(/[-_\s]+/g, " ");
}

// Names that begin with what was typed come first, then names that hold it.
function searchMatches(typed) {
  const wanted = searchFold(typed);
  const names = nameTable().map((entry) => ({ word: entry.name, name: entry.name }));
  const others = Object.entries(props.aliases || {}).map(([word, name]) => ({ word, name }));
  const words = [...names, ...(wanted ? others : [])].sort((a, b) => (a.word < b.word ? -1 : 1));
  const begin = words.filter((row) => row.word.startsWith(wanted));
  const hold = words.filter((row) => !row.word.startsWith(wanted) && row.word.includes(wanted));
  const seen = new Set();
  return [...begin, ...hold].filter((row) => !seen.has(row.name) && seen.add(row.name));
}

function searchParts(host, label) {
  const id = `picker-search-${Math.random().toString(36).slice(2, 8)}-${(searchCount += 1)}`;
  const input = make("input", {
    type: "text", role: "combobox", class: "search-input", id, autocomplete: "off",
    spellcheck: "false", "aria-label": label, "aria-autocomplete": "list",
    "aria-expanded": "false", "aria-controls": `${id}-list`, placeholder: "Find a feeling",
  });
  const list = make("ul", {
    role: "listbox", class: "search-list", id: `${id}-list`, "aria-label": "Emotions",
  });
  list.hidden = true;
  host.append(input, list);
  return { input, list, id };
}

function searchOption(row, id, index) {
  const option = make("li", {
    role: "option", class: "search-option", id: `${id}-${index}`, "aria-selected": "false",
    "data-name": row.name,
  });
  const dot = make("span", { class: "search-dot", "aria-hidden": "true" });
  dot.style.background = colourOf(named(row.name));
  option.append(dot, make("span", {}, row.name));
  if (row.word !== row.name) option.append(make("span", { class: "search-alias" }, row.word));
  return option;
}

function makeSearch(host, label, onChoose) {
  const { input, list, id } = searchParts(host, label);
  let [shown, active, text] = [[], -1, ""];

  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  function activate(index) {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = index;
    const option = list.children[active];
    if (!option) return;
    option.setAttribute("aria-selected", "true");
    input.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  }
  function open(typed) {
    shown = searchMatches(typed);
    list.replaceChildren(...shown.map((row, index) => searchOption(row, id, index)));
    if (!shown.length) list.append(make("li", { class: "search-none" }, "No emotion of that name"));
    active = -1;
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    if (typed && shown.length) activate(0);
  }
  function choose(name) {
    close();
    show(name);
    onChoose(name);
  }
  function show(name) {
    text = name || "";
    input.value = text;
  }
  const keys = {
    ArrowDown: () => (list.hidden ? open("") : activate((active + 1) % shown.length)),
    ArrowUp: () => (list.hidden ? open("") : activate((active - 1 + shown.length) % shown.length)),
    Enter: () => shown[active] && !list.hidden && choose(shown[active].name),
    Escape: () => (close(), show(text)),
  };
  input.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  input.addEventListener("input", (event) => {
    event.stopPropagation();
    open(input.value);
  });
  input.addEventListener("click", () => {
    if (!list.hidden) return;
    input.select(); // what is typed next replaces the name
    open("");
  });
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", () => (close(), show(text)));
  // pointerdown, not click: the field would lose the focus first and close the list
  list.addEventListener("pointerdown", (event) => {
    const option = event.target.closest("[data-name]");
    event.preventDefault();
    if (option && event.pointerType !== "touch") choose(option.dataset.name);
  });
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[data-name]");
    if (option && !list.hidden) choose(option.dataset.name);
  });
  return { input, show };
}
