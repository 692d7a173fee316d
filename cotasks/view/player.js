// The video of a record with its boxes, or an empty canvas of its size. Stands after boxes.js.
//
// Everything goes by frame numbers of the file. While the video plays, the browser says at what time the frame that it
// shows stands in the file, and that gives the number. A frame that is asked for by number is shown as it is decoded by
// the command, where that serves the page; so boxes are on the frame that they belong to.

const SPEEDS = [0.25, 0.5, 1, 2];
const UNPLAYED = (codec) => `Browsers cannot play this video (${codec}): the frames of its grid are shown, as they are decoded by cotasks.`;
const NEAR_SECONDS = 1; // boxes no further apart are joined, wherever the grid is

/** The box of a track at a frame: [box, whether it stands between two], or null. `known` are the frames of the layer
 * that have boxes, ascending, and `grid` {frame: its place on the grid}. */
function boxAt(boxes, frame, known, grid, fps) {
  let low = 0, high = boxes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (boxes[middle][0] <= frame) low = middle + 1; else high = middle;
  }
  const before = boxes[low - 1], after = boxes[low];
  if (!before) return null;
  if (before[0] === frame) return [before.slice(1, 5), false];
  if (!after || known.some((one) => one > before[0] && one < after[0])) return null;
  const follows = grid.get(after[0]) - grid.get(before[0]) === 1;
  if (!follows && (after[0] - before[0]) / fps > NEAR_SECONDS) return null;
  const share = (frame - before[0]) / (after[0] - before[0]);
  return [[1, 2, 3, 4].map((n) => before[n] + share * (after[n] - before[n])), true];
}

/** The boxes of a layer at a frame, as `boxNodes` takes them, and which of them stand between. */
function layerBoxes(layer, frame, record) {
  layer.known ??= [...new Set((layer.boxes ?? []).flatMap((track) => track.boxes.map((box) => box[0])))].sort((a, b) => a - b);
  record.grid ??= new Map(record.frames.map((one, place) => [one, place]));
  const boxes = [], between = [];
  for (const track of layer.boxes ?? []) {
    const found = boxAt(track.boxes, frame, layer.known, record.grid, record.fps);
    if (!found) continue;
    boxes.push([track.track, ...found[0]]);
    between.push(found[1]);
  }
  return { boxes, between };
}

/** A player. `detail` is what is known of question `q`; `moved(frame)` is told of every new frame. */
function makePlayer(q, detail, moved) {
  const { record, video } = detail, [width, height] = record.size;
  const known = !video.note, rate = known ? video.rate : record.fps;
  const last = Math.max(...record.frames, Math.ceil(record.clip[1] * record.fps) - 1);
  const ends = [Math.min(record.frames[0], Math.ceil(record.clip[0] * record.fps)),
    Math.min(last, known ? video.count - 1 : record.count === null ? last : Math.max(record.count - 1, ...record.frames))];
  const own = { frame: -1, playing: false, layer: record.layers[0], speed: 1, muted: true, ended: false, ends };
  let mode = !known ? "blank" : video.file !== null ? "video" : video.frames ? "frames" : "blank";
  let clock = 0, ticking = 0, wanted = -1, pending = false;

  // ---- what is shown ----
  const film = make("video", { muted: "", playsinline: "", preload: "auto", disablepictureinpicture: "" });
  const exact = make("img", { alt: "", hidden: "" });
  const overlay = draw("svg", { class: "overlay", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
  const stage = make("div", { class: "stage" }, film, exact, overlay);
  stage.style.aspectRatio = `${width} / ${height}`;
  stage.style.maxWidth = `calc(max(220px, 40vh) * ${width / height})`;
  const note = make("p", { class: "notice", role: "status", hidden: "" });
  const readout = make("output", { class: "readout", title: "exact: the frame as cotasks decodes it" });

  const frames = () => (mode === "frames" ? record.frames : null);
  const mediaTime = (frame) => {
    const at = (one) => (video.times ? video.times[Math.min(one, video.times.length - 1)] : one / rate);
    const next = frame + 1 < video.count ? at(frame + 1) : at(frame) + 1 / rate;
    return video.offset + (at(frame) + next) / 2; // in its middle, so that no rounding leads to another frame
  };
  const frameOf = (time) => {
    const seconds = time - video.offset;
    if (!video.times) return Math.round(seconds * rate);
    let low = 0, high = video.times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (video.times[middle] <= seconds + 0.0005) low = middle; else high = middle - 1;
    }
    return low;
  };
  const inside = (frame) => Math.max(ends[0], Math.min(ends[1], frame));
  const seconds = (frame) => frame / record.fps;

  function say(text) {
    note.textContent = text;
    note.hidden = !text;
  }

  function paint() {
    const { boxes, between } = layerBoxes(own.layer, own.frame, record);
    const nodes = boxNodes(boxes, own.layer.tracks, width, (place) => between[place]);
    if (own.layer.kind === "predicted") {
      const truth = layerBoxes(record.layers[0], own.frame, record).boxes;
      nodes.unshift(...truth.map(([, x1, y1, x2, y2]) => draw("rect", { class: "truth", x: x1, y: y1, width: x2 - x1, height: y2 - y1 })));
    }
    overlay.replaceChildren(...nodes);
    overlay.dataset.frame = own.frame;
    overlay.setAttribute("aria-label", `frame ${own.frame}: ${boxes.map(([track]) => own.layer.tracks[track][0]).join(", ") || "no boxes"}`);
    tell();
  }

  function tell() {
    const isExact = !exact.hidden && exact.dataset.frame === String(own.frame) ? " \u00b7 exact" : "";
    readout.textContent = `frame ${own.frame} \u00b7 ${seconds(own.frame).toFixed(2)} s${isExact}`;
  }

  /** Be at a frame; its boxes are drawn now, or with its picture. */
  function arrive(frame, withPicture = false) {
    own.frame = frame;
    if (withPicture) { tell(); showExact(frame); } else paint();
    moved(frame);
  }

  // ---- frames as they are decoded ----
  const isDecoded = (frame) => known && (exported ? Boolean(video.frames?.numbers.includes(frame)) : true);

  /** Show a frame as it is decoded by the command, and its boxes once it is there. */
  function showExact(frame) {
    wanted = frame;
    pending = true;
    const loading = new Image();
    const settle = (found) => {
      if (wanted !== frame) return;
      pending = false;
      if (own.ended || (own.playing && mode === "video")) return;
      if (found) { exact.src = loading.src; exact.dataset.frame = frame; }
      exact.hidden = !found;
      paint();
    };
    loading.onload = () => settle(true);
    loading.onerror = () => settle(false);
    loading.src = `frames/${video.frames?.of ?? q}/${frame}.jpg`;
  }

  function hideExact() {
    exact.hidden = true;
    wanted = -1;
    pending = false;
  }

  // ---- playing ----
  const watch = "requestVideoFrameCallback" in film
    ? (act) => film.requestVideoFrameCallback((_, { mediaTime: time }) => act(time))
    : (act) => requestAnimationFrame(() => act(film.currentTime));

  /** Go by every frame that the video shows, but for those that it only shows below a picture or on its way. */
  function follow() {
    watch((time) => {
      if (own.ended || mode !== "video") return;
      const frame = frameOf(time);
      if (!film.seeking && exact.hidden && wanted < 0) {
        if (own.playing && frame > ends[1]) { pause(); goTo(ends[1]); }
        else if (frame !== own.frame && frame >= ends[0] && frame <= ends[1]) arrive(frame);
      }
      follow();
    });
  }

  function tick(now) {
    if (own.ended || !own.playing || mode === "video") return;
    if (!pending) clock += Math.min(0.25, (now - ticking) / 1000) * own.speed; // a picture that is not there yet is waited for
    ticking = now;
    const all = frames();
    const frame = all ? all.filter((one) => seconds(one) <= clock).at(-1) ?? all[0] : Math.floor(clock * record.fps + 1e-6);
    if (frame >= (all ? all.at(-1) : ends[1])) { pause(); goTo(all ? all.at(-1) : ends[1]); return; }
    if (frame !== own.frame && !pending) goTo(frame, true);
    requestAnimationFrame(tick);
  }

  function play() {
    if (own.playing) return;
    const end = frames() ? frames().at(-1) : ends[1];
    if (own.frame >= end) goTo(frames() ? frames()[0] : ends[0]);
    own.playing = true;
    playButton.setAttribute("aria-pressed", "true");
    if (mode === "video") {
      hideExact();
      film.playbackRate = own.speed;
      film.currentTime = mediaTime(own.frame);
      film.play().catch(() => { if (mode === "video") pause(); });
    } else {
      clock = seconds(own.frame);
      ticking = performance.now();
      requestAnimationFrame(tick);
    }
  }

  function pause() {
    own.playing = false;
    playButton.setAttribute("aria-pressed", "false");
    film.pause();
  }

  /** Show a frame: by the clock (`passing`), by a drag, which a video that plays follows at once, or for itself. */
  function goTo(frame, passing = false, dragged = false) {
    if (own.playing && !passing) pause();
    const to = inside(frame), waits = isDecoded(to) && !(dragged && mode === "video");
    if (mode === "video") film.currentTime = mediaTime(to);
    if (!waits) hideExact();
    arrive(to, waits);
  }

  function step(by) {
    const all = frames();
    if (!all || !exported) return goTo(own.frame + by);
    const place = all.findIndex((one) => one >= own.frame);
    goTo(all[Math.max(0, Math.min(all.length - 1, (place < 0 ? all.length : place) + by))]);
  }

  function stepGrid(by) {
    const next = by > 0 ? record.frames.find((one) => one > own.frame) : record.frames.filter((one) => one < own.frame).at(-1);
    if (next !== undefined) goTo(next);
  }

  function fallBack() {
    if (mode !== "video" || own.ended) return;
    const where = own.frame;
    film.removeAttribute("src");
    film.hidden = true;
    const has = !exported || Boolean(video.frames);
    mode = has ? "frames" : "blank";
    say(has ? UNPLAYED(video.codec) : `This browser cannot play the video (${video.codec}); boxes are drawn on an empty canvas.`);
    stage.classList.toggle("blank", !has);
    if (own.playing) pause();
    goTo(where);
  }

  // ---- controls ----
  const playButton = button({ class: "play", "aria-pressed": "false", "aria-label": "Play", title: "Play, pause (Space)" },
    () => (own.playing ? pause() : play()));
  const layers = make("select", { "aria-label": "Layer", name: "layer" },
    ...record.layers.map((layer, place) => make("option", { value: place }, layer.title)));
  layers.addEventListener("change", () => setLayer(Number(layers.value)));
  const speeds = make("select", { "aria-label": "Speed", name: "speed" },
    ...SPEEDS.map((speed) => make("option", { value: speed }, `${speed}\u00d7`)));
  speeds.value = "1";
  speeds.addEventListener("change", () => { own.speed = Number(speeds.value); film.playbackRate = own.speed; });
  const controls = make("div", { class: "controls" },
    button({ "aria-label": "One frame back", title: "One frame back (\u2190)", class: "step" }, () => step(-1), "\u2039"), playButton,
    button({ "aria-label": "One frame on", title: "One frame on (\u2192)", class: "step" }, () => step(1), "\u203a"), readout,
    make("span", { class: "space" }), speeds, layers);

  function setLayer(place) {
    own.layer = record.layers[place];
    layers.value = String(place);
    paint();
    own.layered?.();
    moved(own.frame);
  }

  function begin(frame) {
    if (mode === "video") {
      film.addEventListener("ended", () => { if (own.playing) { pause(); goTo(ends[1]); } });
      film.addEventListener("error", fallBack);
      film.addEventListener("loadedmetadata", () => { if (!film.videoWidth) fallBack(); });
      film.muted = true;
      follow();
      film.src = video.file ?? `videos/${q}${video.ending}`;
    } else {
      film.hidden = true;
      stage.classList.toggle("blank", mode === "blank");
      say(mode === "frames" ? UNPLAYED(video.codec) : video.note ?? "The video is left out of this export; boxes are drawn on an empty canvas.");
    }
    goTo(frame ?? ends[0]);
  }

  return Object.assign(own, {
    node: make("div", { class: "player" }, stage, controls, note), begin, play, pause, goTo, step, stepGrid, setLayer,
    toggle: () => (own.playing ? pause() : play()),
    sound: () => { film.muted = !film.muted; },
    nextLayer: () => setLayer((record.layers.indexOf(own.layer) + 1) % record.layers.length),
    end: () => { own.ended = true; own.playing = false; film.pause(); film.removeAttribute("src"); film.load(); },
  });
}
