// Every version that is known: its state, why, and what it does.

import { byId, h, set, tell } from "/page/dom.js";
import { bytes, NONE, number, percent, time, whole } from "/page/format.js";
import { keyOf } from "/page/history.js";

const FILTERED_FROM = 8; // fewer are seen at a glance
const SHOWN = 20; // until all are asked for: each costs work every second
const TROUBLE = ["bad", "busy"]; // these first, in this order
const EMPTY =
  "No model is known: put one into the repository" +
  " (trivet build makes one of a checkpoint, trivet check says what is wrong with it).";
const NONE_FOUND = "No model has this in its name, state or reason.";

const COLUMNS = [
  ["Requests/s", (f) => number(f.requests)],
  ["95 % within", (f, recent) => time(recent((each) => each.ms.request?.[1]))],
  ["Waiting", (f) => whole(f.waiting)],
  ["Rows/batch", (f, recent) => number(recent((each) => each.rows))],
  ["Padding", (f, recent) => percent(recent((each) => each.padding))],
  ["Busy", (f, recent, model) => (model.instances ? percent(100 * (f.busy ?? 0)) : NONE)],
  ["Memory", (f, recent, model) => bytes(model.memory_bytes)],
];

export class Models {
  #history;
  #select;
  #rows = new Map();
  #models = [];
  #filter = byId("models-filter");
  #more = byId("models-more");
  #all = false;

  /** select(key): show the load of a version. */
  constructor(history, select) {
    this.#history = history;
    this.#select = select;
    this.#filter.addEventListener("input", () => this.#place());
    this.#more.addEventListener("click", () => {
      this.#all = !this.#all;
      this.#place();
    });
  }

  show(models) {
    this.#models = [...models].sort((one, other) => trouble(one) - trouble(other));
    const keys = new Set(models.map(keyOf));
    for (const key of this.#rows.keys()) if (!keys.has(key)) this.#rows.delete(key);
    for (const model of models) {
      const key = keyOf(model);
      if (!this.#rows.has(key)) this.#rows.set(key, row(() => this.#select(key)));
      this.#rows.get(key).show(model);
    }
    const ready = models.filter((model) => model.state === "READY").length;
    tell(byId("models-count"), models.length ? `${ready} of ${models.length} ready` : "");
    byId("models-filter-label").hidden = models.length < FILTERED_FROM;
    this.#place();
  }

  draw() {
    for (const [key, row] of this.#rows) if (row.node.isConnected) row.draw(this.#history, key);
  }

  #place() {
    const wanted = this.#filter.value.trim().toLowerCase();
    const found = this.#models.filter((model) =>
      `${model.name} ${model.state} ${model.reason}`.toLowerCase().includes(wanted),
    );
    const shown = this.#all ? found : found.slice(0, SHOWN);
    const nodes = shown.map((model) => this.#rows.get(keyOf(model)).node);
    const body = byId("models-rows");
    if (nodes.length !== body.children.length || nodes.some((node, place) => body.children[place] !== node)) {
      const focused = body.contains(document.activeElement) ? document.activeElement : null;
      body.replaceChildren(...nodes);
      focused?.focus({ preventScroll: true }); // it was taken out for a moment
    }
    this.#more.hidden = found.length <= SHOWN;
    tell(this.#more, this.#all ? `Show ${SHOWN} of them` : `Show all ${found.length}`);
    byId("models-table").hidden = shown.length === 0;
    byId("models-empty").hidden = shown.length > 0;
    this.draw();
    tell(byId("models-empty"), this.#models.length ? NONE_FOUND : EMPTY);
  }
}

/** The kind of a state, by which it is coloured; and its word. */
export function stateOf({ state, reason }) {
  if (state === "READY") return reason ? ["busy", "Ready, but"] : ["ok", "Ready"];
  if (state === "LOADING") return ["busy", "Loading"];
  if (state === "UNLOADING") return ["busy", "Unloading"];
  if (reason === "unloaded" || reason.startsWith("not loaded")) return ["idle", "Not loaded"];
  return ["bad", "Unavailable"];
}

function trouble(model) {
  const place = TROUBLE.indexOf(stateOf(model)[0]);
  return place < 0 ? TROUBLE.length : place;
}

function row(select) {
  const name = h("button", { type: "button", class: "link", click: select });
  const about = h("span", { class: "hint" });
  const state = h("span", { class: "state" });
  const reason = h("p", { class: "reason" });
  const cells = COLUMNS.map(([title]) => h("td", { class: "number", "data-title": title }, NONE));
  const title = h("th", { scope: "row" }, name, about, reason);
  const node = h("tr", {}, title, h("td", { class: "of-state" }, state), ...cells);
  let shown = {};

  function show(model) {
    shown = model;
    tell(name, model.name);
    name.disabled = model.state !== "READY";
    set(name, "title", `Show the load of ${model.name}`);
    const tasks = (model.tasks ?? []).length ? model.tasks.join(", ") : (model.kind ?? "");
    tell(about, [model.version ? `version ${model.version}` : "", tasks].filter(Boolean).join(" · "));
    const [kind, word] = stateOf(model);
    set(state, "data-kind", kind);
    tell(state, word);
    tell(reason, model.reason === "unloaded" ? "" : model.reason);
  }

  function draw(history, key) {
    const figures = history.last(key);
    const recent = (pick) => history.recent(key, pick);
    const ready = shown.state === "READY";
    cells.forEach((cell, place) => {
      const told = ready ? COLUMNS[place][1](figures, recent, shown) : NONE;
      tell(cell, told);
      cell.classList.toggle("none", [NONE, "0", "0 %"].includes(told)); // left out where room is short
    });
  }
  return { node, show, draw };
}
