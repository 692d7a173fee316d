// The triples of steps 3 and 4 as a graph: entities, and what holds between them. Stands after timeline.js.

const GRAPH = { width: 400, height: 280, most: 12, labels: 8 };

/** Edges by (subject, object): {from, to, relations: [{title, row}]}. */
function edgesOf(layer) {
  const edges = new Map();
  const add = (from, to, title, at) => {
    const key = `${from} ${to}`;
    if (!edges.has(key)) edges.set(key, { from, to, relations: [] });
    edges.get(key).relations.push({ title, at });
  };
  for (const [subject, predicate, object, frames] of layer.spatial ?? []) {
    const set = new Set(frames);
    add(subject, object, words(predicate), (frame) => set.has(frame));
  }
  for (const [subject, predicate, object, first, end] of layer.temporal ?? []) {
    add(subject, object, words(predicate), (frame) => first <= frame && frame < end);
  }
  return [...edges.values()];
}

function makeGraph(player) {
  const svg = draw("svg", { class: "graph", viewBox: `0 0 ${GRAPH.width} ${GRAPH.height}`, role: "img", "aria-label": "Graph of triples" });
  const node = make("div", { class: "graphbox" }, svg);
  let edges = [], nodes = new Map();

  function place(n, count) {
    if (count === 1) return [GRAPH.width / 2, GRAPH.height / 2];
    const angle = (2 * Math.PI * n) / count - (count === 2 ? Math.PI : Math.PI / 2);
    return [GRAPH.width / 2 + 138 * Math.cos(angle), GRAPH.height / 2 + 108 * Math.sin(angle)];
  }

  function edgeNodes(edge, few) {
    const [x1, y1] = nodes.get(edge.from).at, [x2, y2] = nodes.get(edge.to).at;
    const length = Math.hypot(x2 - x1, y2 - y1) || 1, bend = Math.min(30, length / 6);
    let side = [(y2 - y1) / length, -(x2 - x1) / length];
    // to the outside, where there is room for what is written; of two edges between the same nodes the second one inside
    const out = ((x1 + x2) / 2 - GRAPH.width / 2) * side[0] + ((y1 + y2) / 2 - GRAPH.height / 2) * side[1];
    const inward = edges.some((one) => one.from === edge.to && one.to === edge.from && edges.indexOf(one) < edges.indexOf(edge));
    if (Math.abs(out) > 1 && out > 0 === inward) side = side.map((one) => -one);
    const middle = [(x1 + x2) / 2 + side[0] * bend, (y1 + y2) / 2 + side[1] * bend];
    const [cx, cy] = [2 * middle[0] - (x1 + x2) / 2, 2 * middle[1] - (y1 + y2) / 2];
    const self = edge.from === edge.to;
    const d = self ? `M ${x1 - 12} ${y1 - 10} C ${x1 - 40} ${y1 - 60}, ${x1 + 40} ${y1 - 60}, ${x1 + 12} ${y1 - 10}` : `M ${x1} ${y1} Q ${cx} ${cy} ${x2} ${y2}`;
    const titles = [...new Set(edge.relations.map((one) => one.title))];
    edge.path = draw("path", { class: "edge", d, }, draw("title", {}, titles.join(", ")));
    // an arrow head in the middle of the curve, along it
    const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI, [hx, hy] = self ? [x1, y1 - 47] : middle;
    edge.head = draw("path", { class: "arrow", d: "M -5 -4 L 5 0 L -5 4 Z", transform: `translate(${hx} ${hy}) rotate(${angle})` });
    edge.label = draw("text", { class: few ? "predicate" : "predicate many", x: hx + side[0] * 10, y: hy + side[1] * 12 + 4,
      "text-anchor": Math.abs(side[0]) < 0.4 ? "middle" : side[0] > 0 ? "start" : "end" });
    edge.nodes = [edge.path, edge.head];
    edge.titles = titles;
    return edge;
  }

  function build() {
    const { layer } = player;
    edges = edgesOf(layer);
    const joined = new Set(edges.flatMap((edge) => [edge.from, edge.to]));
    const all = layer.tracks.map((_, track) => track);
    const chosen = all.length > GRAPH.most ? all.filter((track) => joined.has(track)) : all;
    nodes = new Map(chosen.map((track, n) => [track, { at: place(n, chosen.length) }]));
    const few = edges.length <= GRAPH.labels;
    edges.forEach((edge) => edgeNodes(edge, few));
    for (const [track, one] of nodes) {
      const [name, colour, dashed] = layer.tracks[track], width = Math.max(34, 7.2 * Math.min(name.length, 20) + 18);
      const x = Math.max(width / 2 + 4, Math.min(GRAPH.width - width / 2 - 4, one.at[0])), y = one.at[1];
      one.node = draw("g", { class: "entity", transform: `translate(${x} ${y})` },
        draw("rect", { x: -width / 2, y: -13, width, height: 26, rx: 13, stroke: colour, ...(dashed ? { "stroke-dasharray": "5 3" } : {}) }),
        draw("text", { "text-anchor": "middle", y: 4.5 }, name.length > 20 ? `${name.slice(0, 19)}\u2026` : name), draw("title", {}, name));
    }
    svg.replaceChildren(...edges.flatMap((edge) => edge.nodes), ...[...nodes.values()].map((one) => one.node), ...edges.map((edge) => edge.label));
    if (!nodes.size) svg.append(draw("text", { class: "predicate", x: GRAPH.width / 2, y: GRAPH.height / 2, "text-anchor": "middle" }, "no entities"));
    show(player.frame);
  }

  function show(frame) {
    const present = new Set(layerBoxes(player.layer, frame, player.record).boxes.map(([track]) => track));
    for (const edge of edges) {
      const now = [...new Set(edge.relations.filter((one) => one.at(frame)).map((one) => one.title))];
      for (const one of [...edge.nodes, edge.label]) one.classList.toggle("now", now.length > 0);
      const titles = now.length ? now : edge.titles;
      edge.label.textContent = titles.slice(0, 3).join(", ") + (titles.length > 3 ? ` +${titles.length - 3}` : "");
    }
    for (const [track, one] of nodes) one.node.classList.toggle("now", present.has(track));
  }

  build();
  return { node, show, build };
}
