// Small curves. Their ink is the text's: colour is for states.

import { set, svg } from "/page/dom.js";
import { SPAN_MS } from "/page/history.js";

const WIDTH = 240;
const HEIGHT = 44;
const TOP = 3; // room for the stroke
const GAP_MS = 3500; // further apart is no line

/** A curve over two minutes. draw(points, nowMs, label): points [ms, value or null]. */
export function curve() {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const base = svg("path", { class: "base", d: `M0 ${HEIGHT - 0.5}H${WIDTH}` });
  const node = svg(
    "svg",
    {
      class: "curve",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": "no data yet",
    },
    base,
    area,
    line,
  );
  function draw(points, nowMs, label) {
    const most = Math.max(...points.map(([, value]) => value ?? 0), Number.EPSILON);
    const x = (ms) => (WIDTH * (1 - (nowMs - ms) / SPAN_MS)).toFixed(1);
    const y = (value) => (HEIGHT - 1 - ((HEIGHT - 1 - TOP) * value) / most).toFixed(1);
    const runs = connected(points);
    set(line, "d", runs.map((run) => along(run, x, y)).join(""));
    set(area, "d", runs.map((run) => `${along(run, x, y)}V${HEIGHT}H${x(run[0][0])}Z`).join(""));
    set(node, "aria-label", label);
  }
  return { node, draw };
}

/** Points in a row, with no gap in between. */
function connected(points) {
  const runs = [];
  let run = [];
  for (const point of points) {
    const broken = point[1] === null || (run.length && point[0] - run.at(-1)[0] > GAP_MS);
    if (broken && run.length) {
      runs.push(run);
      run = [];
    }
    if (point[1] !== null) run.push(point);
  }
  if (run.length) runs.push(run);
  return runs;
}

function along(run, x, y) {
  const path = run.map(([ms, value], place) => `${place ? "L" : "M"}${x(ms)} ${y(value)}`).join("");
  return run.length > 1 ? path : `${path}h1.5`; // a lone point is to be seen, too
}
