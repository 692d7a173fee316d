// The label page. Stands after nodes.js in the same script.

const state = { items: [], at: 0, said: {}, saving: false, frames: new Map() };

async function start() {
  const found = await (await fetch("items")).json();
  Object.assign(state, { items: found.items, scale: found.scale, hasFrames: found.frames });
  state.digits = found.scale.rates && found.scale.highest < 10;
  byId("who").textContent = found.labeller;
  byId("rubric-name").textContent = found.rubric.name;
  byId("rubric").textContent = found.rubric.text;
  if (found.scale.rates) makeRatings();
  for (const [key, what] of keys()) byId("keys").append(make("dt", {}, key), make("dd", {}, what));
  byId("item").hidden = byId("controls").hidden = false;
  show(unlabelled(-1));
}

function keys() {
  const scale = state.scale;
  const rate = state.digits
    ? [[`${scale.lowest} to ${scale.highest}`, "the score; with y or n it is saved, and the next answer comes"]]
    : scale.rates ? [["0 to 9", "the score; Enter saves it with y or n, and the next answer comes"]] : [];
  return [
    ["y, n", scale.rates ? "it means the same as a reference, or it does not" : "it means the same as a reference, or not; saved"],
    ...rate,
    ["u", "nobody could say; saved without a score"],
    ["m", "write a note; Enter or Esc leaves it"],
    ["\u2190, \u2192", "answer before, answer after"],
    ["Home, End", "first answer, next one without a label"],
    ["?", "rubric and keys"],
  ];
}

function makeRatings() {
  const scale = state.scale, group = byId("ratings");
  group.hidden = false;
  if (state.digits) {
    for (let rating = scale.lowest; rating <= scale.highest; rating++) {
      group.append(button({ "data-rating": rating }, () => say({ rating }), String(rating)));
    }
    return;
  }
  const input = make("input", {
    type: "number", id: "rating", min: scale.lowest, max: scale.highest, step: 1, "aria-label": `Score, ${scale.name}`,
  });
  input.addEventListener("input", () => say({ rating: input.value === "" ? null : Number(input.value) }, false));
  group.append(input, make("span", { class: "quiet" }, `of ${scale.highest}`), button({ id: "save" }, () => save(), "Save"));
}

// What is shown --------------------------------------------------------------------------------------------------

function unlabelled(after) {
  const count = state.items.length;
  for (let step = 1; step <= count; step++) {
    const place = (after + step + count) % count;
    if (!state.items[place].said) return place;
  }
  return -1;
}

function show(place) {
  const finished = unlabelled(-1) < 0;
  state.at = place < 0 ? Math.min(Math.max(state.at, 0), state.items.length - 1) : place;
  const item = state.items[state.at];
  state.said = item.said ? { ...item.said } : { correct: null, rating: null, comment: "" };
  byId("question").textContent = item.question;
  byId("references-title").textContent = item.references.length > 1 ? "References" : "Reference";
  byId("references").replaceChildren(...item.references.map((text) => make("li", { dir: "auto" }, text)));
  const answer = byId("answer");
  answer.textContent = item.answer.trim() ? item.answer : "The answer is empty.";
  answer.classList.toggle("missing", !item.answer.trim());
  answer.scrollTop = 0;
  state.again = Boolean(item.said);
  byId("note").value = state.said.comment;
  const done = state.items.filter((one) => one.said).length;
  byId("count").textContent = `${done} of ${state.items.length}`;
  byId("done").value = done / state.items.length;
  document.title = `${done} of ${state.items.length}: label answers`;
  tell(finished ? `All ${state.items.length} answers are labelled. The command can be ended; what is changed here is saved too.` : "", true);
  mark();
  if (state.hasFrames) showFrames(item);
  window.scrollTo(0, 0);
}

function mark() {
  const item = state.items[state.at], { correct, rating } = state.said;
  for (const button of document.querySelectorAll("[data-correct]"))
    button.setAttribute("aria-pressed", correct !== null && (button.dataset.correct === "yes") === correct);
  for (const button of document.querySelectorAll("[data-rating]"))
    button.setAttribute("aria-pressed", rating !== null && Number(button.dataset.rating) === rating);
  if (byId("rating")) byId("rating").value = rating ?? "";
  byId("cannot").setAttribute("aria-pressed", Boolean(item.said) && item.said.correct === null && correct === null);
}

function tell(text, good = false) {
  const notice = byId("notice");
  notice.hidden = !text;
  notice.textContent = text;
  notice.classList.toggle("good", good);
}

async function framesOf(item) {
  if (!state.frames.has(item.key))
    state.frames.set(item.key, fetch(`frames?${item.key}`).then((found) => found.json()).catch(() => ({ missing: "not loaded" })));
  return state.frames.get(item.key);
}

async function showFrames(item) {
  const box = byId("frames");
  box.hidden = false;
  box.replaceChildren();
  const found = await framesOf(item);
  if (state.items[state.at] !== item) return;
  if (found.missing) {
    box.replaceChildren(make("p", { class: "quiet" }, `No frames: ${found.missing}.`));
    return;
  }
  box.replaceChildren(...found.frames.map(({ seconds, image }) => {
    const open = button({ "aria-label": `Frame at ${seconds} s` }, () => {
      byId("frame").replaceChildren(make("img", { src: image, alt: `Frame at ${seconds} s` }));
      byId("frame").showModal();
    }, make("img", { src: image, alt: "" }));
    return make("figure", {}, open, make("figcaption", {}, `${seconds.toFixed(1)} s`));
  }));
  const next = unlabelled(state.at);
  if (next >= 0) framesOf(state.items[next]);
}

// What is said ---------------------------------------------------------------------------------------------------

function say(change, whole = true) {
  if (state.saving) return;
  if (state.again) Object.assign(state.said, { correct: null, rating: null }); // a label is changed as a whole
  state.again = false;
  Object.assign(state.said, change);
  tell("");
  mark();
  const { correct, rating } = state.said;
  if (whole && correct !== null && (!state.scale.rates || rating !== null)) save();
}

function contradiction() {
  const { correct, rating } = state.said, scale = state.scale;
  if (!scale.rates || correct === null || rating === null) return "";
  if (correct && rating === scale.lowest) return `Yes and ${rating} contradict each other.`;
  if (!correct && rating === scale.highest) return `No and ${rating} contradict each other.`;
  return "";
}

async function save(cannotSay = false) {
  const item = state.items[state.at], scale = state.scale;
  if (state.saving) return;
  if (cannotSay) Object.assign(state.said, { correct: null, rating: null });
  const { correct, rating } = state.said, comment = byId("note").value.trim();
  if (!cannotSay && (correct === null || (scale.rates && rating === null))) {
    tell(correct === null ? "Yes or no is missing." : "The score is missing.");
    return;
  }
  if (contradiction()) {
    tell(contradiction());
    return;
  }
  state.saving = true;
  try {
    const reply = await fetch("labels", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key: item.key, correct, rating: scale.rates ? rating : null, comment }),
    });
    const answer = reply.ok || reply.status === 422 || reply.status === 500 ? await reply.json() : { error: `status ${reply.status}` };
    if (!reply.ok) throw new Error(answer.error);
    item.said = { correct, rating: scale.rates ? rating : null, comment };
    const next = unlabelled(state.at);
    byId("note").blur();
    show(next);
  } catch (error) {
    const reason = error instanceof TypeError ? "the command is not running" : error.message;
    tell(`Not saved: ${reason}. Start it again and open the address that it prints; all that was saved is there.`);
  } finally {
    state.saving = false;
  }
}

function go(step) {
  const place = state.at + step;
  if (place >= 0 && place < state.items.length) show(place);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !state.items.length) return;
  const field = event.target, writing = field.id === "note", number = field.id === "rating";
  if (document.querySelector("dialog[open]")) return;
  if (writing) {
    if (event.key === "Enter" || event.key === "Escape") {
      field.blur();
      const said = state.items[state.at].said;
      if (event.key === "Enter" && said && said.comment !== field.value.trim()) save(said.correct === null);
    }
    return;
  }
  if (number && (/^[0-9]$/.test(event.key) || ["Backspace", "Delete", "ArrowUp", "ArrowDown"].includes(event.key))) return;
  const actions = {
    y: () => say({ correct: true }, state.digits || !state.scale.rates),
    n: () => say({ correct: false }, state.digits || !state.scale.rates),
    u: () => save(true),
    m: () => byId("note").focus(),
    ArrowLeft: () => go(-1),
    ArrowRight: () => go(1),
    Home: () => show(0),
    End: () => show(unlabelled(state.at)),
    "?": () => byId("help").showModal(),
    Enter: () => { if (!state.digits && state.scale.rates && field.tagName !== "BUTTON") save(); else return true; },
  };
  const rated = state.digits && /^[0-9]$/.test(event.key) && Number(event.key) >= state.scale.lowest && Number(event.key) <= state.scale.highest;
  if (!state.digits && state.scale.rates && /^[0-9]$/.test(event.key)) {
    byId("rating").value = "";
    byId("rating").focus(); // the digit itself goes there
    return;
  }
  const act = rated ? () => say({ rating: Number(event.key) }) : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.repeat) return;
  if (act() !== true) event.preventDefault();
});

for (const button of document.querySelectorAll("[data-correct]"))
  button.addEventListener("click", () => say({ correct: button.dataset.correct === "yes" }, state.digits || !state.scale.rates));
byId("cannot").addEventListener("click", () => save(true));
byId("previous").addEventListener("click", () => go(-1));
byId("next").addEventListener("click", () => go(1));
byId("help-button").addEventListener("click", () => byId("help").showModal());
byId("frame").addEventListener("click", () => byId("frame").close());
start().catch(() => tell("The answers could not be loaded: is the command still running?"));
