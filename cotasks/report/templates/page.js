// The results and the browser of single answers. Stands after nodes.js, boxes.js and browse.js in the same script.
// `data` is in columns: entry i of each list of `answers` is answer i.

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

// ---- state -------------------------------------------------------------------------------------------------

Object.assign(state, { view: "results", judge: judges[0], boxes: true, prompt: false });
const verdicts = () => data.verdicts[state.judge];

function outcome(i) {
  const gain = verdicts().gain[i];
  if (data.conditions[answers.condition[i]] === data.baseline) return 4;
  return gain === null ? 3 : gain > 0 ? 0 : gain < 0 ? 1 : 2;
}

const facets = [
  { name: "run", title: "Model", keys: data.runs.map((run) => run.name), labels: data.runs.map((run) => run.label),
    code: (i) => answers.run[i] },
  { name: "condition", title: "Condition", keys: data.conditions, code: (i) => answers.condition[i] },
  { name: "category", title: "Category", keys: data.categories, code: (i) => questions.category[answers.question[i]] },
  { name: "type", title: "Question type", keys: data.types, labels: data.typeTitles,
    code: (i) => questions.type[answers.question[i]] },
  { name: "verdict", title: "Verdict", keys: data.states, labels: data.states.map((key) => WORDS[key]), changes: true,
    code: (i) => verdicts().state[i] },
  { name: "outcome", title: "Against " + data.baseline, keys: OUTCOMES, labels: OUTCOMES.map((key) => WORDS[key]),
    changes: true, code: outcome },
];

function setJudge(judge) {
  state.judge = judge;
  encode(true);
  for (const section of document.querySelectorAll("section.judge")) section.hidden = section.dataset.judge !== judge;
  for (const button of document.querySelectorAll("#judges button")) {
    button.setAttribute("aria-pressed", String(button.value === judge));
  }
  if (selects.judge) selects.judge.value = judge;
}

const questionText = questions.id.map((id, q) =>
  [id, questions.video[q], questions.text[q], ...questions.references[q], ...questions.choices[q]].join("\n").toLowerCase());
const answerText = answers.text.map((text) => (text ?? "").toLowerCase());

// The answers to each question.
const ofQuestion = questions.id.map(() => []);
for (let i = 0; i < total; i++) ofQuestion[answers.question[i]].push(i);

function stateName(i, judge = state.judge) {
  return data.states[data.verdicts[judge].state[i]];
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

function markOf(i, judge) {
  const name = stateName(i, judge);
  return mark(name, WORDS[name]);
}

function rowNodes(i) {
  const q = answers.question[i];
  return [markOf(i),
    make("div", { class: "asked", dir: "auto" }, questions.text[q]),
    make("div", { class: "said", dir: "auto" }, saidBy(i)),
    make("div", { class: "meta" }, make("span", {}, conditionOf(i)),
      data.runs.length > 1 ? make("span", {}, data.runs[answers.run[i]].label) : null,
      make("span", {}, data.types[questions.type[q]]), gainNode(i))];
}

function show() {
  const onAnswers = state.view === "answers";
  byId("results").hidden = onAnswers;
  byId("answers").hidden = !onAnswers;
  for (const view of ["results", "answers"]) {
    if (view === state.view) byId(`tab-${view}`).setAttribute("aria-current", "page");
    else byId(`tab-${view}`).removeAttribute("aria-current");
  }
}

/** The state that the address says; `#answers` alone leaves it as it is. */
function recall() {
  const [view, query] = location.hash.slice(1).split("?", 2);
  const closing = state.opened;
  state.view = view === "answers" ? "answers" : "results";
  state.opened = false;
  show();
  if (state.view === "answers") recallItems(query ?? null, closing);
  else window.scrollTo(0, 0);
}

const bySign = { up: 1, down: -1 };
const sorts = { data: { title: "Order of the data" } };
for (const [what, titles] of Object.entries({ score: ["Score, lowest first", "Score, highest first"],
  gain: ["Lost most first", "Won most first"] })) {
  for (const [place, way] of ["up", "down"].entries()) {
    sorts[`${what}-${way}`] = { title: titles[place], value: (i) => verdicts()[what][i], sign: bySign[way] };
  }
}
sorts.longest = { title: "Longest answer first", value: (i) => -answerText[i].length };

browse({
  total,
  noun: "answers",
  none: "No answer matches.",
  facets,
  sorts,
  says: (i, word) => questionText[answers.question[i]].includes(word) || answerText[i].includes(word),
  row: rowNodes,
  detail: () => showDetail(),
  prefix: "answers?",
  here: () => state.view === "answers",
  write(values) {
    if (state.judge !== judges[0]) values.set("judge", state.judge);
    if (state.selected >= 0) values.set("answer", state.selected);
  },
  read(values) {
    const judge = judges.includes(values.get("judge")) ? values.get("judge") : judges[0];
    if (judge !== state.judge) setJudge(judge);
  },
  place(values) {
    const answer = Number(values.get("answer") ?? -1);
    return Number.isInteger(answer) && answer >= 0 && answer < total ? answer : -1;
  },
  keys: {
    " ": (event) => byId("detail").scrollBy(0, byId("detail").clientHeight * (event.shiftKey ? -0.8 : 0.8)),
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
  },
});
if (judges.length > 1) {
  field("judge", "Judge", judges.map((judge) => [judge, judge]), (value) => { setJudge(value); update(); });
  byId("judges").hidden = false;
  for (const one of byId("judges").querySelectorAll("button")) one.addEventListener("click", () => setJudge(one.value));
}
buildSorts();
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input") || !["r", "a"].includes(event.key)) return;
  location.hash = event.key === "r" ? "results" : "answers";
});
window.addEventListener("resize", () => { if (state.view === "answers") { show(); showRows(); showDetail(); } });
window.addEventListener("popstate", recall);
document.addEventListener("DOMContentLoaded", () => { if (state.view === "answers") showDetail(); });
setJudge(state.judge);
recall();
