// Boxes with their names on a frame. Stands after nodes.js in the same script.

/** The nodes of boxes [track, x1, y1, x2, y2] in a drawing whose unit is a pixel of (width, height); `tracks` are
 * [name, colour, dashed]. Where `between` is true, boxes are drawn thinner: they stand between two annotated ones. */
function boxNodes(boxes, tracks, width, between = () => false) {
  const nodes = [], names = [], line = width / 34;
  boxes.forEach(([track, x1, y1, x2, y2], place) => {
    const [name, colour, dashed] = tracks[track], thin = between(place) ? " between" : "";
    const rect = { x: x1, y: y1, width: x2 - x1, height: y2 - y1 };
    nodes.push(draw("rect", { class: `rim${thin}`, ...rect }));
    nodes.push(draw("rect", { class: `box${thin}`, "data-track": track, stroke: colour, ...rect,
      ...(dashed ? { "stroke-dasharray": "6 4" } : {}) }));
    const y = y1 > line * 1.2 ? y1 - line * 0.3 : y1 + line;
    names.push(draw("text", { class: "name", x: Math.max(x1, 2), y, "font-size": line, "stroke-width": line / 5,
      fill: colour }, name));
  });
  return [...nodes, ...names];
}

/** The names of tracks with their lines, as a legend. */
function trackList(tracks) {
  return make("ul", { class: "tracks" }, ...tracks.map(([name, colour, dashed]) => make("li", {},
    draw("svg", { "aria-hidden": "true" }, draw("line", { x1: 0, x2: 18, y1: 5, y2: 5, stroke: colour, "stroke-width": 3,
      ...(dashed ? { "stroke-dasharray": "4 3" } : {}) })), name)));
}
