// A page of many items: filters, search, a long list, what is shown of one item, keys, and all of it in the address.
// Stands after nodes.js in the same script. The page's own script calls `browse` once, with
//
//   total     how many items there are, from 0
//   noun, none   what they are called, and what is said where none matches
//   facets    what they can be filtered by: {name, title, keys, labels?, code(i), changes?}. `code` gives the value of an
//             item as a position in `keys`; with `changes`, `encode(true)` asks for it again
//   sorts     {name: {title, value?(i), sign?}}: `value` is a number or null, which comes last
//   says(i, word)   whether the text of an item holds a word, which is in small letters
//   row(i)    the children of an item's row in the list
//   detail(i) shows an item beside the list; -1 for none
//   keys      {key: (event) => ...} beside those below
//   write(values), read(values), place(values)   what else stands in the address, and the item that it names (-1: none)
//   prefix    of the address after #
//   here()    whether the list is in view

const ROW = 72; // pixels of a row of the list, as in browse.css
const MOST_ROWS = 150000; // longer lists exceed what browsers can scroll
const GLYPHS = { right: "\u2713", wrong: "\u2715", unreadable: "?", unscored: "\u2013" };
const state = { sort: "data", search: "", picked: {}, selected: -1, opened: false };
const selects = {};
let shown = new Int32Array(0); // the items that pass the filters, in order
let items;

// ---- filtering ---------------------------------------------------------------------------------------------

function encode(onlyChanging) {
  for (const facet of items.facets) {
    if (onlyChanging && !facet.changes) continue;
    facet.codes = Uint16Array.from({ length: items.total }, (_, i) => facet.code(i));
  }
}

/** Which items pass, and for each facet how many would pass with each of its values, all else being equal. */
function filter() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const { facets, total } = items;
  const picked = facets.map((facet) => facet.keys.indexOf(state.picked[facet.name] ?? ""));
  const counts = facets.map((facet) => new Uint32Array(facet.keys.length));
  const found = new Int32Array(total);
  let length = 0;
  for (let i = 0; i < total; i++) {
    let failed = -1, failures = 0;
    for (let f = 0; f < facets.length && failures < 2; f++) {
      if (picked[f] >= 0 && facets[f].codes[i] !== picked[f]) { failed = f; failures++; }
    }
    if (failures > 1) continue;
    if (!words.every((word) => items.says(i, word))) continue;
    if (failures === 0) found[length++] = i;
    for (let f = 0; f < facets.length; f++) {
      if (failures === 0 || f === failed) counts[f][facets[f].codes[i]]++;
    }
  }
  shown = found.subarray(0, length);
  spacer.style.height = `${listed() * ROW}px`;
  sort();
  return counts;
}

function sort() {
  const { value, sign = 1 } = items.sorts[state.sort];
  if (!value) return;
  const values = new Float64Array(items.total);
  for (const i of shown) values[i] = sign * (value(i) ?? NaN);
  shown.sort((a, b) => {
    const x = values[a], y = values[b], lacks = Number.isNaN(x) - Number.isNaN(y);
    return lacks || (Number.isNaN(x) ? 0 : x - y) || a - b; // those without a value last
  });
}

// ---- filters on the page -----------------------------------------------------------------------------------

function field(name, title, options, pick) {
  const select = make("select", { name });
  for (const [value, label] of options) select.append(make("option", { value }, label));
  select.addEventListener("change", () => pick(select.value));
  selects[name] = select;
  byId("facets").append(make("label", {}, title, select));
  return select;
}

function buildFilters() {
  for (const facet of items.facets) {
    const used = new Set(facet.codes);
    if (used.size < 2 && !facet.changes) continue;
    const options = facet.keys.map((key, place) => [key, (facet.labels ?? facet.keys)[place]]);
    const kept = options.filter((_, place) => facet.changes || used.has(place));
    field(facet.name, facet.title, [["", "All"], ...kept], (value) => { state.picked[facet.name] = value; update(); });
  }
}

function buildSorts() {
  const options = Object.entries(items.sorts).map(([name, { title }]) => [name, title]);
  if (options.length > 1) field("sort", "Sort", options, (value) => { state.sort = value; update(); });
}

const grouped = (count) => count.toLocaleString("en");

function showFilters(counts) {
  items.facets.forEach((facet, f) => {
    const select = selects[facet.name];
    if (!select) return;
    for (const option of select.options) {
      if (!option.value) continue;
      const place = facet.keys.indexOf(option.value);
      option.textContent = `${(facet.labels ?? facet.keys)[place]} (${grouped(counts[f][place])})`;
    }
    select.value = state.picked[facet.name] ?? "";
    select.classList.toggle("active", select.value !== "");
  });
  if (selects.sort) selects.sort.value = state.sort;
  if (byId("search").value !== state.search) byId("search").value = state.search;
  const active = items.facets.filter((facet) => state.picked[facet.name]).length;
  byId("more").textContent = active ? `Filters (${active})` : "Filters";
  byId("clear").hidden = !active && !state.search;
  const cut = shown.length > MOST_ROWS ? `; the first ${grouped(MOST_ROWS)} are listed` : "";
  byId("status").textContent = `${grouped(shown.length)} of ${grouped(items.total)} ${items.noun}${cut}`;
}

// ---- list --------------------------------------------------------------------------------------------------

const list = byId("list"), spacer = byId("spacer");

/** The sign of a verdict; `words` say the same. */
function mark(name, words) {
  return make("span", { class: `mark ${name}`, title: words, role: "img", "aria-label": words }, GLYPHS[name]);
}

function rowOf(place) {
  const i = shown[place];
  const row = make("div", { class: "row", role: "option", id: `row-${i}`, "aria-selected": String(i === state.selected),
    "aria-setsize": shown.length, "aria-posinset": place + 1 }, ...items.row(i));
  row.style.transform = `translateY(${place * ROW}px)`;
  row.addEventListener("click", () => { select(i); open(); });
  return row;
}

const listed = () => Math.min(shown.length, MOST_ROWS);

function showRows() {
  const length = listed();
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const rows = [];
  for (let place = first; place < last; place++) rows.push(rowOf(place));
  if (!length) rows.push(make("p", { class: "none" }, items.none));
  spacer.replaceChildren(...rows);
  spacer.style.overflow = length ? "" : "visible";
  if (byId(`row-${state.selected}`)) list.setAttribute("aria-activedescendant", `row-${state.selected}`);
  else list.removeAttribute("aria-activedescendant");
}

function scrollTo(place) {
  const top = place * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
}

// ---- moving about ------------------------------------------------------------------------------------------

const narrow = () => matchMedia("(max-width: 800px)").matches;

function select(i) {
  state.selected = i;
  const place = shown.indexOf(i);
  if (place >= 0) scrollTo(place);
  showRows();
  if (!narrow() || state.opened) items.detail(i);
  byId("detail").scrollTop = 0;
  remember();
}

function move(step) {
  if (!shown.length) return;
  const place = shown.indexOf(state.selected);
  select(shown[place < 0 ? 0 : Math.max(0, Math.min(shown.length - 1, place + step))]);
}

function showOpened() {
  byId("answers").classList.toggle("opened", state.opened);
}

function open() {
  if (state.opened || !narrow() || state.selected < 0) return;
  writeAddress();
  state.opened = true;
  history.pushState(null, "", location.hash);
  writeAddress();
  showOpened();
  items.detail(state.selected);
  byId("detail").focus();
}

function close() {
  if (!state.opened) return;
  history.back();
}

/** Filter anew and show all of it. */
function update() {
  showFilters(filter());
  if (shown.indexOf(state.selected) < 0) { state.selected = shown.length ? shown[0] : -1; list.scrollTop = 0; }
  select(state.selected);
}

function clear() {
  state.search = "";
  state.picked = {};
  update();
}

let writing;

/** Write the address soon; browsers refuse to do so very often. */
function remember() {
  clearTimeout(writing);
  writing = setTimeout(writeAddress, 200);
}

/** The state as the part of the address after #, so that a place in the page can be linked to. */
function writeAddress() {
  if (!items.here()) return;
  const values = new URLSearchParams();
  for (const [name, value] of Object.entries(state.picked)) if (value) values.set(name, value);
  if (state.search) values.set("search", state.search);
  if (state.sort !== "data") values.set("sort", state.sort);
  items.write(values);
  if (state.opened) values.set("open", "1");
  history.replaceState(null, "", `#${items.prefix}${values}`);
}

/** The state that an address says; null leaves it as it is. `closing`: the item stays the one that was opened. */
function recallItems(query, closing) {
  if (query !== null) {
    const values = new URLSearchParams(query);
    state.picked = {};
    for (const { name, keys } of items.facets) if (keys.includes(values.get(name))) state.picked[name] = values.get(name);
    state.search = values.get("search") ?? "";
    state.sort = Object.hasOwn(items.sorts, values.get("sort")) ? values.get("sort") : "data";
    items.read(values);
    state.opened = values.get("open") === "1" && narrow();
    if (!closing) state.selected = items.place(values);
  }
  showOpened();
  const asked = state.selected;
  showFilters(filter());
  select(asked >= 0 ? asked : shown.length ? shown[0] : -1);
}

const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  PageDown: () => move(8), PageUp: () => move(-8), Home: () => move(-Infinity), End: () => move(Infinity),
  Enter: open, Escape: close, x: clear,
  "/": () => { if (!state.opened) { byId("search").focus(); byId("search").select(); } },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const target = event.target;
  if (target.id === "search" && ["Escape", "Enter", "ArrowDown"].includes(event.key)) {
    event.preventDefault();
    target.blur();
    list.focus({ preventScroll: true });
    return;
  }
  if (target.matches("input") || (target.matches("select") && event.key.length > 1)) return;
  if (event.key === "?") return byId("help").showModal();
  if (!items?.here() || !Object.hasOwn(KEYS, event.key)) return;
  if (["Enter", " "].includes(event.key) && target.matches("button, summary, a")) return;
  event.preventDefault();
  KEYS[event.key](event);
});

/** Begin; see the head of this file. The address is read by the page's own script, with `recallItems`. */
function browse(config) {
  items = config;
  Object.assign(KEYS, config.keys);
  encode(false);
  buildFilters();
  byId("search").addEventListener("input", (event) => { state.search = event.target.value; update(); });
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", () => {
    const opened = byId("facets").classList.toggle("open");
    byId("more").setAttribute("aria-expanded", String(opened));
  });
  byId("clear").addEventListener("click", clear);
  list.addEventListener("scroll", showRows, { passive: true });
}

byId("help-button").addEventListener("click", () => byId("help").showModal());
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

/** The options of a question with the right one marked, or its references. */
function referenceList(choices, right, references) {
  const shown = choices.length ? choices : references, tag = choices.length ? "ol" : "ul";
  return make(tag, { class: "options" }, ...shown.map((text, place) => {
    const isReference = !choices.length || place === right;
    return make("li", isReference ? { class: "reference" } : {},
      choices.length ? make("b", {}, String.fromCharCode(65 + place)) : null, make("span", { dir: "auto" }, text),
      isReference ? make("i", {}, "reference") : null);
  }));
}
