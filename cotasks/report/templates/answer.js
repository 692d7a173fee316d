// One answer: the question, frames with boxes, all answers to it, the prompt. Stands before page.js in the same script.

function verdictLine(i, judge) {
  const found = data.verdicts[judge];
  return make("p", { class: "verdict" },
    make("span", {}, (judges.length > 1 ? `${judge}: ` : "") + WORDS[stateName(i, judge)].toLowerCase()
      + (found.score[i] === null ? "" : `, score ${number(found.score[i])}`)),
    gainNode(i, judge, ` against ${data.baseline}`),
    make("span", { class: "reason", dir: "auto" }, data.reasons[found.reason[i]]));
}

/** The answers to the question of answer i, that one with its verdicts. */
function answerList(i) {
  const rows = [];
  let run = -1;
  for (const j of ofQuestion[answers.question[i]]) {
    if (data.runs.length > 1 && answers.run[j] !== run) rows.push(make("h3", {}, data.runs[answers.run[j]].label));
    run = answers.run[j];
    const text = answers.text[j];
    const said = button({}, () => select(j), markOf(j),
      make("span", { class: "by" }, conditionOf(j)),
      make("span", { class: text ? "said" : "said missing", dir: "auto" }, saidBy(j)),
      make("span", { class: "number" }, number(verdicts().score[j])),
      make("span", { class: "number" }, gainNode(j)));
    const row = make("div", j === i ? { class: "current", "aria-current": "true" } : {}, said);
    if (j === i) {
      row.append(...judges.map((judge) => verdictLine(i, judge)));
      if (answers.cut[i]) row.append(make("p", { class: "note" }, "The answer was cut at the longest allowed length."));
      const lines = answers.cutItems[i];
      if (lines) row.append(make("p", { class: "note" }, `The prompt's budget left out ${lines} lines of its steps.`));
    }
    rows.push(row);
  }
  return make("div", { class: "by-question" }, ...rows);
}

/** A frame with its boxes; `scene.size` is the unit of the boxes. */
function frameSvg(scene, panel) {
  const [width, height] = scene.size;
  const names = panel.boxes.map(([track]) => scene.tracks[track][0]);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `frame ${panel.frame}, ${panel.seconds} s: ${names.join(", ") || "no boxes"}` });
  if (panel.image >= 0) {
    svg.append(draw("image", { href: images()[panel.image], width, height, preserveAspectRatio: "none" }));
  }
  svg.append(...boxNodes(panel.boxes, scene.tracks, width));
  return svg;
}

function caption(panel) {
  return `${panel.seconds.toFixed(2)} s, frame ${panel.frame}${panel.a1 ? ", of step 1" : ""}`;
}

function frameGrid(scene) {
  const figures = scene.panels.filter((panel) => panel.image >= 0 || panel.boxes.length).map((panel) => {
    const open = button({ title: caption(panel) }, () => {
      byId("frame").replaceChildren(frameSvg(scene, panel), make("p", { class: "quiet" }, caption(panel)));
      byId("frame").showModal();
    }, frameSvg(scene, panel));
    return make("figure", panel.a1 ? { class: "a1" } : {}, open,
      make("figcaption", {}, `${panel.seconds.toFixed(2)} s`));
  });
  return [make("div", { class: "frames" }, ...figures), trackList(scene.tracks)];
}

function promptBlock(i) {
  if (data.promptOf[i] < 0) return make("p", { class: "quiet" }, answers.text[i] === null
    ? "Nothing was generated, so there is no prompt to show." : "The prompt is not at hand; the help (?) says why.");
  const text = make("pre", { dir: "auto" });
  const details = make("details", state.prompt ? { open: "" } : {}, make("summary", {}, "Prompt as sent"), text);
  const fill = () => { if (details.open) text.textContent = prompts()?.[data.promptOf[i]] ?? "Loading"; };
  details.addEventListener("toggle", () => { state.prompt = details.open; fill(); });
  fill();
  return details;
}

/** The question type, and its category where that is another word. */
function typeOf(q) {
  const category = data.categories[questions.category[q]], title = data.typeTitles[questions.type[q]];
  return title.toLowerCase().includes(category) ? title : `${category}, ${title}`;
}

function showDetail() {
  const detail = byId("detail"), i = state.selected;
  if (i < 0) return detail.replaceChildren();
  const q = answers.question[i];
  const noFrames = data.sceneOf[i] < 0 ? "No frames; the help (?) says why." : "Loading";
  const scene = scenes()?.[data.sceneOf[i]];
  const back = button({ id: "back" }, close, "\u2190 Answers");
  detail.classList.toggle("boxless", !state.boxes);
  detail.replaceChildren(
    back,
    make("p", { class: "where" },
      make("span", {}, typeOf(q)), make("code", {}, questions.id[q]), make("span", {}, `video ${questions.video[q]}`)),
    make("h1", { dir: "auto" }, questions.text[q]),
    referenceList(questions.choices[q], questions.right[q], questions.references[q]),
    ...(scene ? frameGrid(scene) : [make("p", { class: "quiet" }, noFrames)]),
    make("h2", {}, "Answers to this question"), answerList(i),
    promptBlock(i));
}
