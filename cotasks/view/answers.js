// The answers to a question side by side: a column a run, a row a condition. Stands after graph.js.

const WORDS = { right: "Right", wrong: "Wrong", unreadable: "Unreadable", unscored: "Unscored" };

function number(value) {
  return value === null || value === undefined ? "\u2013" : String(Math.round(value * 100) / 100);
}

function sourceTitle(place) {
  const { name, model } = data.sources[place];
  return model && model !== name ? `${model} (${name})` : name;
}

function conditionTitle(i) {
  const condition = data.conditions[answers.condition[i]] ?? "";
  return answers.sample[i] > 0 ? `${condition} \u00b7 sample ${answers.sample[i] + 1}` : condition;
}

function stateOf(i, judge = state.judge) {
  return data.states[data.verdicts[judge].state[i]];
}

function markOf(i) {
  return judges.length ? mark(stateOf(i), WORDS[stateOf(i)]) : null;
}

function saidNode(answer, whole) {
  const text = answer.text ?? (answer.failure ? `failed: ${answer.failure}` : "no answer");
  const empty = !answer.text || !answer.text.trim();
  return make("span", { class: `said${empty ? " missing" : ""}${whole ? " whole" : ""}`, dir: "auto" }, answer.text === "" ? "(empty)" : text);
}

/** The grid of answers; `of` are the items of a question, in the order of `detail.answers`. */
function answerGrid(of, detail, selected) {
  const columns = [...new Set(of.map((i) => answers.source[i]))], titles = [...new Set(of.map(conditionTitle))];
  const grid = make("div", { class: "compare", role: "table", "aria-label": "Answers" });
  grid.style.setProperty("--columns", columns.length);
  columns.forEach((source, n) => {
    const head = make("h3", { dir: "auto" }, sourceTitle(source));
    head.style.gridColumn = n + 2;
    grid.append(head);
  });
  titles.forEach((title, row) => {
    const label = make("div", { class: "by", dir: "auto" }, title);
    label.style.gridRow = row + 2;
    grid.append(label);
  });
  of.forEach((i, n) => {
    const answer = detail.answers[n], current = i === selected;
    const score = judges.length ? data.verdicts[state.judge].score[i] : null;
    const cell = button({ class: current ? "cell current" : "cell", ...(current ? { "aria-current": "true" } : {}) }, () => select(i),
      markOf(i), make("span", { class: "by" }, columns.length > 1 ? `${sourceTitle(answers.source[i])} \u00b7 ${conditionTitle(i)}` : conditionTitle(i)),
      saidNode(answer, current), score === null ? null : make("span", { class: "number" }, number(score)));
    cell.style.gridColumn = columns.indexOf(answers.source[i]) + 2;
    cell.style.gridRow = titles.indexOf(conditionTitle(i)) + 2;
    grid.append(cell);
  });
  return grid;
}

/** What is said of one answer: verdicts, evidence, what was cut, the thought. */
function aboutAnswer(i, answer, detail) {
  const lines = answer.verdicts.map(({ judge, state: name, score, reason }) => make("p", { class: "verdict" },
    mark(name, WORDS[name]), make("b", {}, judge), make("span", {}, WORDS[name].toLowerCase() + (score === null ? "" : `, score ${number(score)}`)),
    make("span", { class: "reason", dir: "auto" }, reason)));
  if (answer.cut) lines.push(make("p", { class: "note" }, "The answer was cut at the longest allowed length."));
  if (answer.cutItems) lines.push(make("p", { class: "note" }, `The prompt's budget left out ${answer.cutItems} lines of its steps.`));
  const evidence = detail.evidence.find(({ source }) => source === answers.source[i]);
  if (evidence) {
    const scores = Object.entries(evidence.steps).filter(([, score]) => score !== null).map(([step, score]) => `step ${step}: ${number(score)}`);
    if (evidence.iop !== null) scores.unshift(`IoP of spans ${number(evidence.iop)}, IoU ${number(evidence.iou)}`);
    const word = evidence.right === null ? "unscored" : evidence.right ? "right" : "wrong";
    lines.push(make("p", { class: "verdict" }, mark(word, WORDS[word]), make("b", {}, "Evidence"), make("span", {}, evidence.right === null ? "not scored" : word),
      make("span", { class: "reason" }, scores.join("; "))));
  }
  if (answer.thought) lines.push(make("details", {}, make("summary", {}, "Thought"), make("pre", { dir: "auto" }, answer.thought)));
  return make("div", { class: "about" }, ...lines);
}
