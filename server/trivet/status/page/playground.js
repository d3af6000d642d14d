// Asks models, one task at a time.

import { byId, h, tell } from "/page/dom.js";
import { said } from "/page/feed.js";
import { number } from "/page/format.js";
import { TASKS } from "/page/tasks.js";
import { authorization } from "/page/token.js";

const OFF = "The playground is switched off on this server (--allow-playground).";
const NOTHING_OFFERED =
  "No ready model does a task of language: build one with trivet build," +
  " or ask these models over gRPC with trivet infer.";
const UNKNOWN = "The models are not known yet.";
const LATEST = "0";

export class Playground {
  #models = new Map(); // by task: [name, version] of the models that do it
  #forms = new Map(); // by task: what is filled in stays
  #task = "";
  #asking = null;
  #known = "";

  constructor() {
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
    byId("ask").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("ask").requestSubmit();
    });
    tell(byId("playground-empty"), UNKNOWN);
  }

  /** Offer what these models do. */
  offer(models, isOn) {
    const offered = models.map(({ name, version, tasks }) => [name, version, tasks]);
    const known = JSON.stringify([isOn, offered]);
    if (known === this.#known) return;
    this.#known = known;
    this.#models = byTask(isOn ? models : []);
    const none = this.#models.size === 0;
    byId("playground-body").hidden = none;
    byId("playground-empty").hidden = !none;
    tell(byId("playground-empty"), isOn ? NOTHING_OFFERED : OFF);
    if (!none) this.#choose();
  }

  /** For a reader who may ask, but not see which models there are. */
  offerUnseen() {
    const models = Object.entries(TASKS).map(([task, { model }]) => {
      return { name: model, version: 0, tasks: [task] };
    });
    this.offer(models, true);
  }

  #choose() {
    const offered = Object.keys(TASKS).filter((task) => this.#models.has(task));
    if (!offered.includes(this.#task)) this.#task = offered[0];
    const had = document.activeElement?.name === "task";
    byId("tasks").replaceChildren(...offered.map((task) => this.#chip(task)));
    if (had) byId("tasks").querySelector(":checked").focus();
    this.#show();
  }

  #chip(task) {
    const id = `task-${task}`;
    const change = () => {
      this.#task = task;
      this.#show();
      this.#answer("The answer appears here.");
    };
    const checked = task === this.#task;
    const input = h("input", { type: "radio", name: "task", id, value: task, checked, change });
    return h("span", { class: "chip" }, input, h("label", { for: id }, TASKS[task].title));
  }

  #show() {
    if (!this.#forms.has(this.#task)) this.#forms.set(this.#task, form(this.#task));
    const shown = this.#forms.get(this.#task);
    shown.offer(this.#models.get(this.#task));
    if (byId("ask").firstElementChild !== shown.node) byId("ask").replaceChildren(shown.node);
  }

  async #ask() {
    this.#asking?.abort();
    const asking = (this.#asking = new AbortController());
    const task = this.#task;
    this.#answer("Asking…", "busy");
    const began = performance.now();
    try {
      const request = this.#forms.get(task).request();
      const answer = await fetch(`/page/ask/${task}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...authorization() },
        body: JSON.stringify(request),
        signal: asking.signal,
      });
      if (!answer.ok) throw new Error(await said(answer));
      const told = await answer.json();
      const took = performance.now() - began;
      if (this.#asking !== asking) return;
      const shown = TASKS[task].show(told.results, request);
      this.#answer(summary(told, took), "ok", shown, cost(told.results[0].cost));
    } catch (error) {
      if (this.#asking !== asking || error.name === "AbortError") return;
      this.#answer(error instanceof TypeError ? "The server cannot be reached." : error.message, "bad");
    }
  }

  #answer(text, kind = "idle", nodes = [], beneath = "") {
    const told = byId("answer-told");
    told.dataset.kind = kind;
    tell(told, text);
    byId("answer").replaceChildren(...nodes, beneath ? h("p", { class: "hint cost" }, beneath) : "");
  }
}

function byTask(models) {
  const found = new Map();
  for (const { name, version, tasks } of models) {
    for (const task of tasks ?? []) {
      if (!(task in TASKS)) continue;
      if (!found.has(task)) found.set(task, []);
      found.get(task).push([name, version]);
    }
  }
  return found;
}

/** The fields of a task, filled with something to try. */
function form(task) {
  const { fields, model, request } = TASKS[task];
  const models = h("select", { id: "ask-model" });
  const shown = fields.map(field);
  const submit = h("button", { type: "submit" }, "Ask");
  const node = h(
    "div",
    { class: "fields" },
    h("label", { for: "ask-model" }, "Model"),
    models,
    ...shown.flatMap((one) => one.nodes),
    h("div", { class: "row" }, submit, h("span", { class: "hint keys" }, "or Ctrl and Enter")),
  );
  function offer(known) {
    const chosen = models.value;
    const usualFirst = (one, other) => (other === model) - (one === model);
    const names = [...new Set(known.map(([name]) => name))].sort(usualFirst);
    const options = names.flatMap((name) => {
      const versions = known.filter(([other]) => other === name).map(([, version]) => version);
      const each = versions.map((version) => [name, String(version), `${name}, version ${version}`]);
      return [[name, LATEST, name], ...(versions.length > 1 ? each : [])];
    });
    const nodes = options.map(([name, version, text]) => h("option", { value: `${version} ${name}` }, text));
    models.replaceChildren(...nodes);
    if (nodes.some((node) => node.value === chosen)) models.value = chosen;
  }
  function asked() {
    const place = models.value.indexOf(" ");
    const values = Object.fromEntries(shown.map((one) => [one.name, one.value()]));
    return { model: models.value.slice(place + 1), version: models.value.slice(0, place), ...request(values) };
  }
  return { node, offer, request: asked };
}

function field({ name, label, kind = "text", rows = 3, value = "", hint, ...more }) {
  const id = `ask-${name}`;
  const told = hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null;
  const described = hint ? `${id}-hint` : null;
  if (kind === "check") {
    const input = h("input", { type: "checkbox", id });
    const node = h("p", { class: "check" }, input, h("label", { for: id }, label));
    return { name, value: () => input.checked, nodes: [node] };
  }
  const { min, max, placeholder } = more;
  const common = { id, spellcheck: "false", "aria-describedby": described, placeholder };
  const input =
    kind === "text"
      ? h("textarea", { ...common, rows }, value)
      : h("input", { ...common, type: kind === "number" ? "number" : "text", value, min, max });
  const optional = more.optional ? h("span", { class: "hint" }, " (optional)") : null;
  const title = h("label", { for: id }, label, optional);
  return { name, value: () => input.value, nodes: [title, input, told].filter(Boolean) };
}

function summary({ model_name: name, model_version: version }, tookMs) {
  return `Answered by ${name}, version ${version}, in ${number(tookMs)} ms.`;
}

function cost({ tokens, truncated, queue_us: queue, tokenize_us: tokenize, compute_us: compute } = {}) {
  if (tokens === undefined) return "";
  const spent = [["waited", queue], ["tokenizer", tokenize], ["engine", compute]];
  const parts = spent.map(([what, us]) => `${what} ${number(Number(us) / 1000)} ms`);
  return [`${tokens} tokens${truncated ? ", cut" : ""}`, ...parts].join(" · ");
}
