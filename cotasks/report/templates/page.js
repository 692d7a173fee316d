"use strict";
// The browser of single answers. `data` is in columns: entry i of each list of `answers` is answer i.
// Whatever is shown is built by `make` from text nodes and attributes; there is no markup from data anywhere.

const ROW = 72; // pixels of a row of the list, as in the style sheet
const MOST_ROWS = 150000; // longer lists exceed what browsers can scroll
const byId = (id) => document.getElementById(id);
const parsed = (id) => JSON.parse(byId(id).textContent);

/** A function that parses a data element when it is first needed. The large ones follow this script, so that the page
 * is there before they are read; until then it returns null. */
function later(id) {
  let value;
  return () => (document.readyState === "loading" ? null : (value ??= parsed(id)));
}

const data = parsed("data");
const scenes = later("scenes");
const prompts = later("prompts");
const images = later("images");
const { questions, answers } = data;
const total = answers.question.length;
const judges = Object.keys(data.verdicts);
const OUTCOMES = ["won", "lost", "tied", "not_compared", "baseline"];
const WORDS = { right: "Right", wrong: "Wrong", unreadable: "Unreadable", unscored: "Unscored", won: "Won", lost: "Lost",
  tied: "Same", not_compared: "Not compared", baseline: "Is the baseline" };
const GLYPHS = { right: "\u2713", wrong: "\u2715", unreadable: "?", unscored: "\u2013" };
const SORTS = { data: "Order of the data", "score-up": "Score, lowest first", "score-down": "Score, highest first",
  "gain-up": "Lost most first", "gain-down": "Won most first", longest: "Longest answer first" };

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// ---- state -------------------------------------------------------------------------------------------------

const state = { view: "results", judge: judges[0], sort: "data", search: "", picked: {}, selected: -1, opened: false,
  boxes: true, prompt: false };
let shown = new Int32Array(0); // the answers that pass the filters, in order
const verdicts = () => data.verdicts[state.judge];

function outcome(i) {
  const gain = verdicts().gain[i];
  if (data.conditions[answers.condition[i]] === data.baseline) return 4;
  return gain === null ? 3 : gain > 0 ? 0 : gain < 0 ? 1 : 2;
}

// What answers can be filtered by. `codes` gives the value of each answer as a position in `keys`.
const facets = [
  { name: "run", title: "Model", keys: data.runs.map((run) => run.name), labels: data.runs.map((run) => run.label),
    code: (i) => answers.run[i] },
  { name: "condition", title: "Condition", keys: data.conditions, code: (i) => answers.condition[i] },
  { name: "category", title: "Category", keys: data.categories, code: (i) => questions.category[answers.question[i]] },
  { name: "type", title: "Question type", keys: data.types, labels: data.typeTitles,
    code: (i) => questions.type[answers.question[i]] },
  { name: "verdict", title: "Verdict", keys: data.states, labels: data.states.map((key) => WORDS[key]), perJudge: true,
    code: (i) => verdicts().state[i] },
  { name: "outcome", title: "Against " + data.baseline, keys: OUTCOMES, labels: OUTCOMES.map((key) => WORDS[key]),
    perJudge: true, code: outcome },
];

function encode(onlyPerJudge) {
  for (const facet of facets) {
    if (onlyPerJudge && !facet.perJudge) continue;
    facet.codes = Uint16Array.from({ length: total }, (_, i) => facet.code(i));
  }
}

function setJudge(judge) {
  state.judge = judge;
  encode(true);
  for (const section of document.querySelectorAll("section.judge")) section.hidden = section.dataset.judge !== judge;
  for (const button of document.querySelectorAll("#judges button")) {
    button.setAttribute("aria-pressed", String(button.value === judge));
  }
}

// ---- filtering ---------------------------------------------------------------------------------------------

const questionText = questions.id.map((id, q) =>
  [id, questions.video[q], questions.text[q], ...questions.references[q], ...questions.choices[q]].join("\n").toLowerCase());
const answerText = answers.text.map((text) => (text ?? "").toLowerCase());

/** Which answers pass, and for each facet how many would pass with each of its values, all else being equal. */
function filter() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
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
    const q = answers.question[i];
    if (!words.every((word) => questionText[q].includes(word) || answerText[i].includes(word))) continue;
    if (failures === 0) found[length++] = i;
    for (let f = 0; f < facets.length; f++) {
      if (failures === 0 || f === failed) counts[f][facets[f].codes[i]]++;
    }
  }
  shown = found.subarray(0, length);
  sort();
  return counts;
}

function sort() {
  const [what, way] = state.sort.split("-");
  if (what === "data") return;
  const value = what === "longest" ? (i) => -answerText[i].length : (i) => verdicts()[what][i];
  const sign = way === "down" ? -1 : 1;
  shown.sort((a, b) => {
    const x = value(a), y = value(b);
    if (x === null || y === null) return (x === null) - (y === null) || a - b; // unscored last
    return sign * (x - y) || a - b;
  });
}

// ---- filters on the page -----------------------------------------------------------------------------------

const selects = {};

function field(name, title, options, pick) {
  const select = make("select", { name });
  for (const [value, label] of options) select.append(make("option", { value }, label));
  select.addEventListener("change", () => pick(select.value));
  selects[name] = select;
  byId("facets").append(make("label", {}, title, select));
  return select;
}

function buildFilters() {
  for (const facet of facets) {
    const used = new Set(facet.codes);
    if (used.size < 2 && !facet.perJudge) continue;
    const options = facet.keys.map((key, place) => [key, (facet.labels ?? facet.keys)[place]]);
    const kept = options.filter((_, place) => facet.perJudge || used.has(place));
    field(facet.name, facet.title, [["", "All"], ...kept], (value) => { state.picked[facet.name] = value; update(); });
  }
  if (judges.length > 1) {
    field("judge", "Judge", judges.map((judge) => [judge, judge]), (value) => { setJudge(value); update(); });
    byId("judges").hidden = false;
    for (const button of byId("judges").querySelectorAll("button")) {
      button.addEventListener("click", () => setJudge(button.value));
    }
  }
  field("sort", "Sort", Object.entries(SORTS), (value) => { state.sort = value; update(); });
}

function showFilters(counts) {
  facets.forEach((facet, f) => {
    const select = selects[facet.name];
    if (!select) return;
    for (const option of select.options) {
      if (!option.value) continue;
      const place = facet.keys.indexOf(option.value);
      option.textContent = `${(facet.labels ?? facet.keys)[place]} (${counts[f][place].toLocaleString("en")})`;
    }
    select.value = state.picked[facet.name] ?? "";
    select.classList.toggle("active", select.value !== "");
  });
  if (selects.judge) selects.judge.value = state.judge;
  selects.sort.value = state.sort;
  if (byId("search").value !== state.search) byId("search").value = state.search;
  const active = facets.filter((facet) => state.picked[facet.name]).length;
  byId("more").textContent = active ? `Filters (${active})` : "Filters";
  byId("clear").hidden = !active && !state.search;
  const cut = shown.length > MOST_ROWS ? `; the first ${MOST_ROWS.toLocaleString("en")} are listed` : "";
  byId("status").textContent = `${shown.length.toLocaleString("en")} of ${total.toLocaleString("en")} answers${cut}`;
}

// ---- list --------------------------------------------------------------------------------------------------

const list = byId("list"), spacer = byId("spacer");

// The answers to each question.
const ofQuestion = questions.id.map(() => []);
for (let i = 0; i < total; i++) ofQuestion[answers.question[i]].push(i);

function stateName(i, judge = state.judge) {
  return data.states[data.verdicts[judge].state[i]];
}

function mark(i, judge) {
  const name = stateName(i, judge);
  return make("span", { class: `mark ${name}`, title: WORDS[name], role: "img", "aria-label": WORDS[name] }, GLYPHS[name]);
}

function number(value) {
  return value === null ? "\u2013" : String(Math.round(value * 10) / 10);
}

function gainNode(i, judge = state.judge, words = "") {
  const gain = data.verdicts[judge].gain[i];
  if (gain === null) return null;
  const text = gain === 0 ? "\u00b10" : (gain > 0 ? "+" : "\u2212") + number(Math.abs(gain));
  const kind = gain > 0 ? "gain" : gain < 0 ? "loss" : "";
  return make("span", { class: kind, title: `Score minus that of ${data.baseline}` }, text + words);
}

function conditionOf(i) {
  const condition = data.conditions[answers.condition[i]];
  return answers.sample[i] > 0 ? `${condition} \u00b7 sample ${answers.sample[i] + 1}` : condition;
}

function saidBy(i) {
  return answers.text[i] === null ? "no answer" : answers.text[i] || "(empty)";
}

function rowOf(place) {
  const i = shown[place], q = answers.question[i];
  const row = make("div", { class: "row", role: "option", id: `row-${i}`, "aria-selected": String(i === state.selected),
    "aria-setsize": shown.length, "aria-posinset": place + 1 },
    mark(i),
    make("div", { class: "asked", dir: "auto" }, questions.text[q]),
    make("div", { class: "said", dir: "auto" }, saidBy(i)),
    make("div", { class: "meta" }, make("span", {}, conditionOf(i)),
      data.runs.length > 1 ? make("span", {}, data.runs[answers.run[i]].label) : null,
      make("span", {}, data.types[questions.type[q]]), gainNode(i)));
  row.style.transform = `translateY(${place * ROW}px)`;
  row.addEventListener("click", () => { select(i); open(); });
  return row;
}

function showRows() {
  const length = Math.min(shown.length, MOST_ROWS);
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 4);
  const last = Math.min(length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 4);
  const rows = [];
  for (let place = first; place < last; place++) rows.push(rowOf(place));
  spacer.style.height = `${length * ROW}px`;
  if (!length) rows.push(make("p", { class: "none" }, "No answer matches."));
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
  if (!narrow() || state.opened) showDetail();
  byId("detail").scrollTop = 0;
  remember();
}

function move(step) {
  if (!shown.length) return;
  const place = shown.indexOf(state.selected);
  select(shown[place < 0 ? 0 : Math.max(0, Math.min(shown.length - 1, place + step))]);
}

function open() {
  if (state.opened || !narrow() || state.selected < 0) return;
  writeAddress();
  state.opened = true;
  history.pushState(null, "", location.hash);
  writeAddress();
  show();
  showDetail();
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

function show() {
  const onAnswers = state.view === "answers";
  byId("results").hidden = onAnswers;
  byId("answers").hidden = !onAnswers;
  byId("answers").classList.toggle("opened", state.opened);
  for (const view of ["results", "answers"]) {
    if (view === state.view) byId(`tab-${view}`).setAttribute("aria-current", "page");
    else byId(`tab-${view}`).removeAttribute("aria-current");
  }
}

let writing;

/** Write the address soon; browsers refuse to do so very often. */
function remember() {
  clearTimeout(writing);
  writing = setTimeout(writeAddress, 200);
}

/** The state as the part of the address after #, so that a place in the report can be linked to. */
function writeAddress() {
  if (state.view !== "answers") return;
  const values = new URLSearchParams();
  for (const [name, value] of Object.entries(state.picked)) if (value) values.set(name, value);
  if (state.search) values.set("search", state.search);
  if (state.judge !== judges[0]) values.set("judge", state.judge);
  if (state.sort !== "data") values.set("sort", state.sort);
  if (state.selected >= 0) values.set("answer", state.selected);
  if (state.opened) values.set("open", "1");
  history.replaceState(null, "", `#answers?${values}`);
}

/** The state that the address says; `#answers` alone leaves it as it is. */
function recall() {
  const [view, query] = location.hash.slice(1).split("?", 2);
  const closing = state.opened;
  state.view = view === "answers" ? "answers" : "results";
  state.opened = false;
  if (state.view === "answers" && query !== undefined) {
    const values = new URLSearchParams(query);
    state.picked = {};
    for (const { name, keys } of facets) if (keys.includes(values.get(name))) state.picked[name] = values.get(name);
    state.search = values.get("search") ?? "";
    state.sort = values.get("sort") in SORTS ? values.get("sort") : "data";
    const judge = judges.includes(values.get("judge")) ? values.get("judge") : judges[0];
    if (judge !== state.judge) setJudge(judge);
    state.opened = values.get("open") === "1" && narrow();
    const answer = Number(values.get("answer") ?? -1);
    if (!closing) state.selected = Number.isInteger(answer) && answer >= 0 && answer < total ? answer : -1;
  }
  show();
  if (state.view === "answers") {
    const asked = state.selected;
    showFilters(filter());
    select(asked >= 0 ? asked : shown.length ? shown[0] : -1);
  } else {
    window.scrollTo(0, 0);
  }
}

const KEYS = {
  j: () => move(1), ArrowDown: () => move(1), k: () => move(-1), ArrowUp: () => move(-1),
  PageDown: () => move(8), PageUp: () => move(-8), Home: () => move(-Infinity), End: () => move(Infinity),
  Enter: open, Escape: close, x: clear,
  " ": (event) => byId("detail").scrollBy(0, byId("detail").clientHeight * (event.shiftKey ? -0.8 : 0.8)),
  "/": () => { if (!state.opened) { byId("search").focus(); byId("search").select(); } },
  b: () => { state.boxes = !state.boxes; byId("detail").classList.toggle("boxless", !state.boxes); },
  p: () => {
    state.prompt = !state.prompt;
    const details = byId("detail").querySelector("details");
    if (details) details.open = state.prompt;
  },
  c: () => {
    if (state.selected < 0) return;
    const same = ofQuestion[answers.question[state.selected]];
    select(same[(same.indexOf(state.selected) + 1) % same.length]);
  },
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
  if (event.key === "r" || event.key === "a") { location.hash = event.key === "r" ? "results" : "answers"; return; }
  if (state.view !== "answers" || !(event.key in KEYS)) return;
  if (["Enter", " "].includes(event.key) && target.matches("button, summary, a")) return;
  event.preventDefault();
  KEYS[event.key](event);
});

byId("help-button").addEventListener("click", () => byId("help").showModal());
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
byId("search").addEventListener("input", (event) => { state.search = event.target.value; update(); });
document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", () => {
  const opened = byId("facets").classList.toggle("open");
  byId("more").setAttribute("aria-expanded", String(opened));
});
byId("clear").addEventListener("click", clear);
list.addEventListener("scroll", showRows, { passive: true });
window.addEventListener("resize", () => { if (state.view === "answers") { show(); showRows(); showDetail(); } });
window.addEventListener("popstate", recall);
document.addEventListener("DOMContentLoaded", () => { if (state.view === "answers") showDetail(); });
encode(false);
buildFilters();
setJudge(state.judge);
recall();
