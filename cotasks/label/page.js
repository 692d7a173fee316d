"use strict";
// What is shown is built from text nodes only, so that no answer can become markup.

const find = (id) => document.getElementById(id);
const state = { items: [], at: 0, said: {}, saving: false, frames: new Map() };

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

async function start() {
  const found = await (await fetch("items")).json();
  Object.assign(state, { items: found.items, scale: found.scale, hasFrames: found.frames });
  state.digits = found.scale.rates && found.scale.highest < 10;
  find("who").textContent = found.labeller;
  find("rubric-name").textContent = found.rubric.name;
  find("rubric").textContent = found.rubric.text;
  if (found.scale.rates) makeRatings();
  for (const [key, what] of keys()) find("keys").append(element("dt", key), element("dd", what));
  find("item").hidden = find("controls").hidden = false;
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
  const scale = state.scale, group = find("ratings");
  group.hidden = false;
  if (state.digits) {
    for (let rating = scale.lowest; rating <= scale.highest; rating++) {
      const button = element("button", rating, { type: "button", "data-rating": rating });
      button.addEventListener("click", () => say({ rating }));
      group.append(button);
    }
    return;
  }
  const input = element("input", undefined, {
    type: "number", id: "rating", min: scale.lowest, max: scale.highest, step: 1, "aria-label": `Score, ${scale.name}`,
  });
  input.addEventListener("input", () => say({ rating: input.value === "" ? null : Number(input.value) }, false));
  const button = element("button", "Save", { type: "button", id: "save" });
  button.addEventListener("click", () => save());
  group.append(input, element("span", `of ${scale.highest}`, { class: "quiet" }), button);
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
  find("question").textContent = item.question;
  find("references-title").textContent = item.references.length > 1 ? "References" : "Reference";
  find("references").replaceChildren(...item.references.map((text) => element("li", text, { dir: "auto" })));
  const answer = find("answer");
  answer.textContent = item.answer.trim() ? item.answer : "The answer is empty.";
  answer.classList.toggle("missing", !item.answer.trim());
  answer.scrollTop = 0;
  state.again = Boolean(item.said);
  find("note").value = state.said.comment;
  const done = state.items.filter((one) => one.said).length;
  find("count").textContent = `${done} of ${state.items.length}`;
  find("done").value = done / state.items.length;
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
  if (find("rating")) find("rating").value = rating ?? "";
  find("cannot").setAttribute("aria-pressed", Boolean(item.said) && item.said.correct === null && correct === null);
}

function tell(text, good = false) {
  const notice = find("notice");
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
  const box = find("frames");
  box.hidden = false;
  box.replaceChildren();
  const found = await framesOf(item);
  if (state.items[state.at] !== item) return;
  if (found.missing) {
    box.replaceChildren(element("p", `No frames: ${found.missing}.`, { class: "quiet" }));
    return;
  }
  box.replaceChildren(...found.frames.map(({ seconds, image }) => {
    const figure = element("figure"), button = element("button", undefined, { type: "button", "aria-label": `Frame at ${seconds} s` });
    button.append(element("img", undefined, { src: image, alt: "" }));
    button.addEventListener("click", () => {
      find("frame").replaceChildren(element("img", undefined, { src: image, alt: `Frame at ${seconds} s` }));
      find("frame").showModal();
    });
    figure.append(button, element("figcaption", `${seconds.toFixed(1)} s`));
    return figure;
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
  const { correct, rating } = state.said, comment = find("note").value.trim();
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
    find("note").blur();
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
    m: () => find("note").focus(),
    ArrowLeft: () => go(-1),
    ArrowRight: () => go(1),
    Home: () => show(0),
    End: () => show(unlabelled(state.at)),
    "?": () => find("help").showModal(),
    Enter: () => { if (!state.digits && state.scale.rates && field.tagName !== "BUTTON") save(); else return true; },
  };
  const rated = state.digits && /^[0-9]$/.test(event.key) && Number(event.key) >= state.scale.lowest && Number(event.key) <= state.scale.highest;
  if (!state.digits && state.scale.rates && /^[0-9]$/.test(event.key)) {
    find("rating").value = "";
    find("rating").focus(); // the digit itself goes there
    return;
  }
  const act = rated ? () => say({ rating: Number(event.key) }) : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.repeat) return;
  if (act() !== true) event.preventDefault();
});

for (const button of document.querySelectorAll("[data-correct]"))
  button.addEventListener("click", () => say({ correct: button.dataset.correct === "yes" }, state.digits || !state.scale.rates));
find("cannot").addEventListener("click", () => save(true));
find("previous").addEventListener("click", () => go(-1));
find("next").addEventListener("click", () => go(1));
find("help-button").addEventListener("click", () => find("help").showModal());
find("frame").addEventListener("click", () => find("frame").close());
start().catch(() => tell("The answers could not be loaded: is the command still running?"));
