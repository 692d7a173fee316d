// The viewer: what is listed, what is shown of one item, and its address. Stands last in its script.
// `data` is in columns: entry i of each list of `data.answers` is item i.

const exported = document.querySelector('meta[name="cotasks-export"]') !== null;
const KEPT = 40; // details that are remembered
const waiting = new Map();
const details = new Map();
let data, questions, answers, judges, player, timeline, graph, asked = null;
let ofQuestion = [], questionText = [], answerText = [];

// ---- where data comes from ---------------------------------------------------------------------------------

/** What the files of an export call with their content, as JSON. */
function received(name, text) {
  waiting.get(name)?.(JSON.parse(text));
  waiting.delete(name);
}

const addresses = exported && window.trustedTypes ? trustedTypes.createPolicy("cotasks", {
  createScriptURL(address) {
    if (!/^data\/(index|questions\/\d+)\.js$/.test(address)) throw new TypeError(`no file of this export: ${address}`);
    return address;
  },
}) : { createScriptURL: (address) => address };

/** The content of `index` or `questions/N`. A folder that is opened as a file can read scripts alone. */
async function read(name) {
  if (!exported) {
    const found = await fetch(`data/${name}.json`);
    if (!found.ok) throw new Error(`status ${found.status}`);
    return found.json();
  }
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    waiting.set(name, (value) => { script.remove(); resolve(value); });
    script.addEventListener("error", () => reject(new Error("file missing")));
    script.src = addresses.createScriptURL(`data/${name}.js`);
    document.head.append(script);
  });
}

function detailOf(q) {
  if (!details.has(q)) {
    details.set(q, read(`questions/${q}`).catch((error) => { details.delete(q); throw error; }));
    if (details.size > KEPT) details.delete(details.keys().next().value);
  }
  return details.get(q);
}

// ---- the list ----------------------------------------------------------------------------------------------

function facetsOf() {
  const at = (name) => (i) => questions[name][answers.question[i]];
  const own = [...data.conditions, "not asked"];
  return [
    { name: "run", title: "From", keys: data.sources.map(({ name }) => name), labels: data.sources.map((_, place) => sourceTitle(place)),
      code: (i) => answers.source[i] },
    { name: "condition", title: "Condition", keys: own, code: (i) => answers.condition[i] },
    { name: "category", title: "Category", keys: data.categories, code: at("category") },
    { name: "type", title: "Question type", keys: data.types, labels: data.typeTitles, code: at("type") },
    { name: "origin", title: "Step 1 from", keys: data.origins, code: at("origin") },
    { name: "set", title: "Source", keys: data.dataSets, code: at("dataSet") },
    ...(judges.length ? [{ name: "verdict", title: "Verdict", keys: data.states, labels: data.states.map((key) => WORDS[key]),
      changes: true, code: (i) => data.verdicts[state.judge].state[i] }] : []),
    { name: "judges", title: "Judges", keys: data.agreement, code: (i) => answers.agreement[i] },
    { name: "evidence", title: "Evidence", keys: data.evidenceWords, code: (i) => answers.evidence[i] },
  ];
}

function rowNodes(i) {
  const q = answers.question[i], text = answers.text[i], alone = answers.condition[i] === data.conditions.length;
  return [alone ? null : markOf(i),
    make("div", { class: "asked", dir: "auto" }, questions.text[q]),
    make("div", { class: "said", dir: "auto" }, alone ? questions.references[q][0] ?? "" : text === null ? "no answer" : text || "(empty)"),
    make("div", { class: "meta" }, alone ? null : make("span", {}, conditionTitle(i)),
      data.sources.length > 1 ? make("span", {}, sourceTitle(answers.source[i])) : null,
      make("span", {}, data.types[questions.type[q]]))];
}

function setJudge(judge) {
  state.judge = judge;
  encode(true);
  if (selects.judge) selects.judge.value = judge;
}

// ---- one item ----------------------------------------------------------------------------------------------

function leave() {
  player?.end();
  player = timeline = graph = null;
}

async function showDetail(i) {
  const pane = byId("detail"), q = i < 0 ? -1 : answers.question[i];
  if (i < 0) { leave(); return pane.replaceChildren(); }
  let detail;
  try {
    detail = await detailOf(q);
  } catch (error) {
    if (state.selected !== i) return;
    leave();
    return pane.replaceChildren(back(), make("p", { class: "failed" }, exported ? "This record is missing in the export."
      : `Not loaded (${error.message}): is the command still running?`));
  }
  if (state.selected !== i) return;
  const answer = ofQuestion[q].indexOf(i), wanted = asked;
  asked = null;
  const same = player && player.question === q; // another answer to the question: the video goes on
  if (!same) {
    leave();
    if (detail.record) startPlayer(q, detail);
  }
  pane.replaceChildren(
    back(),
    make("p", { class: "where" }, make("span", {}, data.typeTitles[questions.type[q]]), make("code", {}, questions.id[q]),
      make("span", {}, `video ${questions.video[q]}`)),
    make("h1", { dir: "auto" }, questions.text[q]),
    referenceList(questions.choices[q], questions.right[q], questions.references[q]),
    ...(detail.answers.length ? [oneAnswer(i, detail.answers[answer])] : []),
    ...(player ? [make("div", { class: "scene" }, player.node, graph.node), timeline.node, ...missingSteps(detail)]
      : [make("p", { class: "quiet" }, detail.video.note ?? "")]),
    ...(detail.answers.length ? [make("h2", {}, "Answers to this question"), answerGrid(ofQuestion[q], detail, i), aboutAnswer(i, detail.answers[answer], detail)] : []),
    ...(detail.record ? [aboutRecord(detail)] : []));
  if (!same && player) {
    const source = answers.source[i], layer = detail.record.layers.findIndex((one) => one.source === source);
    if (wanted?.layer !== undefined) player.setLayer(Math.max(0, Math.min(detail.record.layers.length - 1, wanted.layer)));
    else if (layer >= 0 && data.sources[source].kind === "predictions") player.setLayer(layer);
    player.begin(wanted?.frame ?? (detail.record.layers[0].a1?.frames[0]));
  } else if (player && wanted?.frame !== undefined && wanted.frame !== player.frame) {
    player.goTo(wanted.frame);
  }
  remember();
}

function startPlayer(q, detail) {
  player = makePlayer(q, detail, (frame) => { timeline?.show(frame); graph?.show(frame); remember(); });
  Object.assign(player, { question: q, record: detail.record, layered: () => { timeline.build(); graph.build(); } });
  timeline = makeTimeline(detail, player);
  graph = makeGraph(player);
  byId("detail").classList.toggle("boxless", !state.boxes);
}

const back = () => button({ id: "back" }, close, "\u2190 List");

function oneAnswer(i, answer) {
  return make("p", { class: "this" }, markOf(i), make("span", { class: "by" }, conditionTitle(i)), saidNode(answer, false));
}

function missingSteps(detail) {
  return Object.entries(detail.record.missing).map(([source, reason]) =>
    make("p", { class: "quiet" }, `${sourceTitle(source)}: no predicted steps (${reason}).`));
}

function aboutRecord({ record, video }) {
  const a1 = record.layers[0].a1, facts = [
    `${record.fps} frames a second`, record.count === null ? null : `${record.count} frames`, `${record.size.join("\u00d7")} pixels`,
    `clip ${record.clip[0].toFixed(2)} s to ${record.clip[1].toFixed(2)} s`, `grid of ${record.frames.length} frames`,
    `step 1: spans ${a1.spanOrigin}, entities ${a1.entityOrigin}${a1.usedAnswer ? ", the answer was used" : ""}`,
    video.codec ? `video ${video.codec}` : null];
  return make("p", { class: "quiet facts" }, facts.filter(Boolean).join(" \u00b7 "));
}

// ---- keys, the address, the beginning ----------------------------------------------------------------------

/** Where step 1 begins (-1) or ends (1), seen from a frame. */
function toStepOne(way) {
  const frames = player?.layer.a1?.frames ?? player?.record.layers[0].a1?.frames;
  if (frames?.length) player.goTo(way < 0 ? frames[0] : frames.at(-1));
}

const keys = {
  " ": () => player?.toggle(), ArrowLeft: () => player?.step(-1), ArrowRight: () => player?.step(1),
  ",": () => player?.stepGrid(-1), ".": () => player?.stepGrid(1), "[": () => toStepOne(-1), "]": () => toStepOne(1),
  l: () => player?.nextLayer(), m: () => player?.sound(),
  b: () => { state.boxes = !state.boxes; byId("detail").classList.toggle("boxless", !state.boxes); },
  c: () => {
    if (state.selected < 0) return;
    const same = ofQuestion[answers.question[state.selected]];
    select(same[(same.indexOf(state.selected) + 1) % same.length]);
  },
};

function write(values) {
  if (judges.length && state.judge !== judges[0]) values.set("judge", state.judge);
  const i = state.selected;
  if (i < 0) return;
  values.set("id", questions.id[answers.question[i]]);
  if (data.sources.length > 1) values.set("of", data.sources[answers.source[i]].name);
  if (answers.condition[i] < data.conditions.length) values.set("under", data.conditions[answers.condition[i]]);
  if (answers.sample[i]) values.set("sample", answers.sample[i]);
  if (player && player.question === answers.question[i] && player.frame >= 0) {
    values.set("frame", player.frame);
    const layer = player.record.layers.indexOf(player.layer);
    if (layer > 0) values.set("layer", layer);
  }
}

/** The item that an address names: of the answers to its question, the one that fits best. */
function place(values) {
  const id = values.get("id");
  if (id === null) return -1;
  const whole = (name) => (/^\d{1,9}$/.test(values.get(name) ?? "") ? Number(values.get(name)) : undefined);
  asked = { frame: whole("frame"), layer: whole("layer") };
  let best = -1, most = -1;
  questions.id.forEach((one, q) => {
    if (one !== id) return;
    for (const i of ofQuestion[q]) {
      const fits = 4 * (data.sources[answers.source[i]].name === values.get("of")) + 2 * (data.conditions[answers.condition[i]] === values.get("under"))
        + (answers.sample[i] === (whole("sample") ?? 0));
      if (fits > most) { best = i; most = fits; }
    }
  });
  return best;
}

function recall() {
  const closing = state.opened;
  state.opened = false;
  if (closing) player?.pause();
  recallItems(location.hash.slice(1), closing);
}

async function start() {
  data = await read("index");
  ({ questions, answers } = data);
  judges = data.judges;
  Object.assign(state, { judge: judges[0], boxes: true });
  const total = answers.question.length, isAnswers = data.conditions.length > 0;
  questionText = questions.id.map((id, q) =>
    [id, questions.video[q], questions.text[q], ...questions.references[q], ...questions.choices[q]].join("\n").toLowerCase());
  answerText = answers.text.map((text) => (text ?? "").toLowerCase());
  ofQuestion = questions.id.map(() => []);
  for (let i = 0; i < total; i++) ofQuestion[answers.question[i]].push(i);
  byId("title").textContent = data.sources.map(({ name }) => name).join(", ");
  byId("counts").textContent = `${grouped(questions.id.length)} questions${isAnswers ? `, ${grouped(total)} answers` : ""}`;
  document.title = `${data.sources.map(({ name }) => name).join(", ")}: ${isAnswers ? "answers" : "records"}`;
  byId("notes").replaceChildren(...data.notes.map((note) => make("p", { class: "quiet" }, note)));
  const score = (i) => data.verdicts[state.judge].score[i];
  browse({
    total,
    noun: isAnswers ? "answers" : "records",
    none: isAnswers ? "No answer matches." : "No record matches.",
    facets: facetsOf(),
    sorts: {
      data: { title: "Order of the data" },
      ...(judges.length ? { "score-up": { title: "Score, lowest first", value: score }, "score-down": { title: "Score, highest first", value: score, sign: -1 } } : {}),
      ...(isAnswers ? { longest: { title: "Longest answer first", value: (i) => -answerText[i].length } } : {}),
    },
    says: (i, word) => questionText[answers.question[i]].includes(word) || answerText[i].includes(word),
    row: rowNodes,
    detail: showDetail,
    prefix: "",
    here: () => true,
    keys,
    write,
    read(values) {
      const judge = judges.includes(values.get("judge")) ? values.get("judge") : judges[0];
      if (judges.length && judge !== state.judge) setJudge(judge);
    },
    place,
  });
  if (judges.length > 1) field("judge", "Judge", judges.map((judge) => [judge, judge]), (value) => { setJudge(value); update(); });
  buildSorts();
  window.addEventListener("resize", () => {
    showRows();
    if (!player && (!narrow() || state.opened)) showDetail(state.selected);
    if (player) timeline.show(player.frame);
  });
  window.addEventListener("popstate", recall);
  recall();
}

start().catch((error) => {
  byId("title").textContent = "Not loaded";
  byId("detail").replaceChildren(make("p", { class: "failed" }, exported ? "The files of this export are not all there."
    : `Not loaded (${error.message}): is the command still running?`));
});
