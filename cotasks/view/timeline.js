// The four steps of a layer over the time of the clip, which can be scrubbed. Stands after player.js.

/** Frames -> [first, frame after the last] of each stretch of them that the grid has no other frame within. */
function stretches(frames, grid) {
  const place = new Map(grid.map((frame, n) => [frame, n])), found = [];
  for (const frame of frames) {
    const last = found.at(-1);
    if (last && place.get(frame) - place.get(last[1]) === 1) last[1] = frame; else found.push([frame, frame]);
  }
  return found.map(([first, last]) => [first, last + 1]);
}

/** The rows of a layer: {step, title, colour, parts: [[first frame, frame after the last]], spans?: [[start, end] seconds], tracks}. */
function timelineRows(layer, record) {
  const rows = [], name = (track) => layer.tracks[track][0], colour = (track) => layer.tracks[track][1];
  if (layer.a1) {
    const frames = layer.a1.frames;
    rows.push({ step: 1, title: "spans", spans: layer.a1.spans, parts: [], frames: new Set(), tracks: [] });
    rows.push({ step: 1, title: "frames", parts: frames.map((frame) => [frame, frame + 1]), frames: new Set(frames), tracks: [] });
  }
  for (const { track, boxes } of layer.boxes ?? []) {
    const frames = boxes.map((box) => box[0]);
    rows.push({ step: 2, title: name(track), colour: colour(track), parts: stretches(frames, record.frames), frames: new Set(frames), tracks: [track] });
  }
  for (const [subject, predicate, object, frames] of layer.spatial ?? []) {
    rows.push({ step: 3, title: `${name(subject)} ${words(predicate)} ${name(object)}`, colour: colour(subject),
      parts: stretches(frames, record.frames), frames: new Set(frames), tracks: [subject, object] });
  }
  for (const [subject, predicate, object, first, end] of layer.temporal ?? []) {
    rows.push({ step: 4, title: `${name(subject)} ${words(predicate)} ${name(object)}`, colour: colour(subject),
      parts: [[first, end]], tracks: [subject, object] });
  }
  return rows;
}

const words = (predicate) => predicate.replaceAll("_", " ");
const STEPS = { 1: "Step 1 \u00b7 when", 2: "Step 2 \u00b7 boxes", 3: "Step 3 \u00b7 where", 4: "Step 4 \u00b7 what happens" };

/** Whether a row holds at a frame. */
function holds(row, frame, fps) {
  if (row.spans) return row.spans.some(([start, end]) => frame / fps >= start - 1e-9 && frame / fps <= end + 1e-9);
  return row.frames ? row.frames.has(frame) : row.parts.some(([first, end]) => first <= frame && frame < end);
}

function makeTimeline(detail, player) {
  const { record } = detail, [first, last] = player.ends, fps = record.fps, length = last - first + 1;
  const across = (frame) => `${(100 * Math.max(0, Math.min(length, frame - first))) / length}%`;
  const body = make("div", { class: "rows" });
  const head = make("div", { class: "head" });
  const playhead = make("div", { class: "playhead" });
  const slider = make("div", { class: "lane axis", role: "slider", tabindex: "0", "aria-label": "Frame",
    "aria-valuemin": first, "aria-valuemax": last });
  const node = make("div", { class: "timeline" }, head, body, playhead);
  let rows = [];

  function lane(row) {
    const node = make("div", { class: "lane", "aria-hidden": "true" });
    const bar = (from, to, kind) => {
      if (to <= first || from > last) return;
      const one = make("i", { class: kind });
      one.style.left = across(from);
      one.style.width = `${(100 * (Math.min(last + 1, to) - Math.max(first, from))) / length}%`;
      if (row.colour) one.style.background = row.colour;
      node.append(one);
    };
    for (const [start, end] of row.spans ?? []) bar(start * fps, Math.max(end, start + 1e-6) * fps, "span");
    for (const [from, to] of row.parts) bar(from, to, row.step === 1 ? "tick" : "part");
    return node;
  }

  function build() {
    rows = timelineRows(player.layer, record);
    const { reasons } = player.layer, children = [];
    for (const step of [1, 2, 3, 4]) {
      const own = rows.filter((row) => row.step === step);
      if (step === 1 && player.layer.kind === "scene") continue;
      children.push(make("h3", {}, STEPS[step], own.length ? null : make("span", { class: "quiet" }, reasons[step] ? ` not predicted: ${reasons[step]}` : " none")));
      for (const row of own) {
        row.label = make("div", { class: "name", title: row.title, dir: "auto" }, row.title);
        row.node = make("div", { class: "timerow" }, row.label, lane(row));
        children.push(row.node);
      }
    }
    body.replaceChildren(...children);
    show(player.frame);
  }

  function show(frame) {
    for (const row of rows) row.node.classList.toggle("now", holds(row, frame, fps));
    playhead.style.left = `${slider.offsetLeft + ((frame - first + 0.5) / length) * slider.offsetWidth}px`;
    slider.setAttribute("aria-valuenow", frame);
    slider.setAttribute("aria-valuetext", `frame ${frame}, ${(frame / fps).toFixed(2)} seconds`);
  }

  // the axis: seconds
  const span = length / fps, every = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((one) => span / one <= 9) ?? 1200;
  for (let second = Math.ceil(first / fps / every) * every; second * fps <= last; second += every) {
    const tick = make("span", { class: "second" }, `${Number(second.toFixed(1))} s`);
    tick.style.left = across(second * fps);
    slider.append(tick);
  }
  head.append(make("div", { class: "name" }, ""), slider);

  // scrubbing, anywhere on the lanes
  let dragging = false;
  const frameAt = (event) => {
    const place = slider.getBoundingClientRect();
    return first + Math.max(0, Math.min(length - 1, Math.floor(((event.clientX - place.left) / place.width) * length)));
  };
  node.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.target.closest(".lane")) return;
    dragging = true;
    node.setPointerCapture(event.pointerId);
    player.goTo(frameAt(event), false, true);
    event.preventDefault();
  });
  node.addEventListener("pointermove", (event) => { if (dragging) player.goTo(frameAt(event), false, true); });
  const drop = (event) => { if (dragging) { dragging = false; player.goTo(frameAt(event)); } };
  node.addEventListener("pointerup", drop);
  node.addEventListener("pointercancel", drop);

  build();
  return { node, show, build };
}
