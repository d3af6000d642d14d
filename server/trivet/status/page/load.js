// What the server, or one version, does now: numbers and curves.

import { curve } from "/page/chart.js";
import { byId, h, tell } from "/page/dom.js";
import { number, percent, time, whole } from "/page/format.js";
import { ALL, keyOf } from "/page/history.js";

// f: the figures of a second. recent: of seconds without any, the last ones before are shown.
const TILES = [
  {
    title: "Requests per second",
    pick: (f) => f.requests,
    show: number,
    beside: (f) => (f.failures ? `${number(f.failures)} failed` : "none failed"),
  },
  {
    title: "Request time, 95 %",
    pick: (f) => f.ms.request?.[1],
    show: time,
    recent: true,
    beside: (f) => `half within ${time(f.ms.request?.[0])}`,
  },
  {
    title: "Waiting in queues",
    pick: (f) => f.waiting,
    show: whole,
    beside: (f) => `95 % within ${time(f.ms.queue?.[1])}`,
  },
  {
    title: "Rows per batch",
    pick: (f) => f.rows,
    show: number,
    recent: true,
    beside: (f) => (f.busy === null ? "" : `instances ${percent(100 * f.busy)} busy`),
  },
  {
    title: "Padding",
    pick: (f) => f.padding,
    show: percent,
    recent: true,
    beside: () => "of all tokens computed",
  },
  {
    title: "Tokens per second",
    pick: (f) => f.tokens,
    show: whole,
    beside: () => "without padding",
  },
];

const STAGES = [
  ["request", "Whole request"],
  ["queue", "Waiting in the queue"],
  ["input", "Merging inputs, by batch"],
  ["infer", "Engine, by batch"],
  ["output", "Cutting outputs, by batch"],
];

export class Load {
  #history;
  #of = byId("load-of");
  #tiles = TILES.map(tile);
  #stages = STAGES.map(stage);
  #options = "";

  constructor(history) {
    this.#history = history;
    byId("tiles").append(...this.#tiles.map((one) => one.node));
    byId("stages").append(...this.#stages.map((one) => one.node));
    this.#of.append(h("option", { value: ALL }, "all models"));
    this.#of.addEventListener("change", () => this.draw());
  }

  /** Show one version. */
  select(key) {
    this.#of.value = key;
    this.draw();
    byId("load").scrollIntoView();
    this.#of.focus({ preventScroll: true });
  }

  /** The versions that may be chosen are those that are ready. */
  offer(models) {
    const ready = models.filter((model) => model.state === "READY");
    const keys = ready.map(keyOf);
    if (keys.join("\n") === this.#options) return;
    this.#options = keys.join("\n");
    const chosen = this.#of.value;
    const options = ready.map((model) =>
      h("option", { value: keyOf(model) }, `${model.name}, version ${model.version}`),
    );
    this.#of.replaceChildren(h("option", { value: ALL }, "all models"), ...options);
    this.#of.value = keys.includes(chosen) ? chosen : ALL;
  }

  draw() {
    const key = this.#of.value;
    this.#tiles.forEach((one) => one.draw(this.#history, key));
    this.#stages.forEach((one) => one.draw(this.#history, key));
  }
}

function tile({ title, pick, show, beside, recent }) {
  const value = h("p", { class: "value" }, "–");
  const note = h("p", { class: "hint" });
  const peak = h("p", { class: "hint peak" });
  const chart = curve();
  const node = h("div", { class: "tile" }, h("h3", {}, title), value, note, chart.node, peak);
  function draw(history, key) {
    const figures = history.last(key);
    const points = history.curve(key, pick);
    const now = show(recent ? history.recent(key, pick) : (pick(figures) ?? null));
    const most = show(highest(points));
    tell(value, now);
    tell(note, beside(figures));
    tell(peak, `highest ${most}`);
    chart.draw(points, history.nowMs, `${title} over two minutes: now ${now}, highest ${most}`);
  }
  return { node, draw };
}

function stage([name, title]) {
  const half = h("td", { class: "number" }, "–");
  const most = h("td", { class: "number" }, "–");
  const chart = curve();
  const wide = h("td", { class: "wide" }, chart.node);
  const node = h("tr", {}, h("th", { scope: "row" }, title), half, most, wide);
  function draw(history, key) {
    const points = history.curve(key, (figures) => figures.ms[name]?.[1]);
    tell(half, time(history.recent(key, (figures) => figures.ms[name]?.[0])));
    tell(most, time(history.recent(key, (figures) => figures.ms[name]?.[1])));
    chart.draw(points, history.nowMs, `${title}: 95 % within at most ${time(highest(points))}`);
  }
  return { node, draw };
}

function highest(points) {
  const values = points.map(([, value]) => value).filter((value) => value !== null);
  return values.length ? Math.max(...values) : null;
}
