// What callers were told of calls that failed.

import { byId, h, tell } from "/page/dom.js";
import { ago, whole } from "/page/format.js";

const EMPTY = "No call has failed since the server was started.";

export class Failures {
  #shown = [];

  show(failures) {
    byId("failures-empty").hidden = failures.length > 0;
    tell(byId("failures-empty"), EMPTY);
    this.#shown = failures.map((failure) => ({ failure, when: h("span", { class: "hint when" }) }));
    byId("failures-list").replaceChildren(...this.#shown.map(({ failure, when }) => item(failure, when)));
    this.draw();
  }

  /** Time goes on. */
  draw() {
    this.#shown.forEach(({ failure, when }) => tell(when, ago(failure.last_ms)));
  }
}

function item({ task, code, message, count }, when) {
  const times = count > 1 ? h("span", { class: "hint" }, `${whole(count)} times`) : null;
  const state = h("span", { class: "state", "data-kind": "bad" }, code);
  return h(
    "li",
    {},
    h("p", { class: "of-failure" }, state, h("b", {}, task), times, when),
    h("p", { class: "message" }, message),
  );
}
