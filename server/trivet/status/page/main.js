// Brings the views and the server's events together.

import { byId, set, tell } from "/page/dom.js";
import { Failures } from "/page/failures.js";
import { Feed } from "/page/feed.js";
import { ALL, History } from "/page/history.js";
import { Load } from "/page/load.js";
import { Models, stateOf } from "/page/models.js";
import { Playground } from "/page/playground.js";
import { hasToken, useToken } from "/page/token.js";

const QUIET =
  "No request has come in the last two minutes." +
  " Ask something in the playground below, or with trivet infer or trivet bench.";

const NAMED = 2;

const history = new History();
const load = new Load(history);
const models = new Models(history, (key) => load.select(key));
const playground = new Playground();
const failures = new Failures();

const EVENTS = {
  state({ server, models: known }) {
    showServer(server, known);
    models.show(known);
    load.offer(known);
    playground.offer(known, server.playground);
  },
  history(samples) {
    history.replace(samples);
    draw();
  },
  sample(sample) {
    history.add(sample);
    draw();
  },
  failures: (known) => failures.show(known),
};

const feed = new Feed((name, value) => EVENTS[name]?.(value), showConnection);

function draw() {
  load.draw();
  models.draw();
  failures.draw();
  const requests = history.curve(ALL, (figures) => figures.requests + figures.failures);
  const quiet = !history.isEmpty && requests.every(([, value]) => !value);
  byId("load-empty").hidden = !quiet;
  tell(byId("load-empty"), QUIET);
}

function showServer({ version, ...server }, known) {
  const [kind, word] = stateOfServer(server);
  set(byId("server-state"), "data-kind", kind);
  tell(byId("server-state"), word);
  const wanting = known.filter((model) => stateOf(model)[0] === "bad").map(({ name }) => name);
  tell(byId("server-why"), kind === "bad" && wanting.length ? `for want of ${listed(wanting)}` : "");
  tell(byId("version"), `trivet ${version}`);
}

function stateOfServer({ ready, started, leaving }) {
  if (leaving) return ["busy", "Taking leave"];
  if (ready) return ["ok", "Ready"];
  return started ? ["bad", "Not ready"] : ["busy", "Starting"];
}

/** A few names; how many more there are. */
function listed(names) {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

function showConnection({ kind, text, needs }) {
  set(byId("connection"), "data-kind", kind);
  tell(byId("connection"), text);
  document.body.classList.toggle("stale", kind === "bad");
  if (needs === undefined) return;
  openGate(true);
  tell(byId("gate-why"), needs);
  if (hasToken()) playground.offerUnseen(); // it may be good for asking, if not for seeing
}

function openGate(open) {
  byId("gate").hidden = !open;
  set(byId("token-button"), "aria-expanded", String(open));
  if (open) byId("gate-token").focus();
}

function changeToken(token) {
  useToken(token);
  byId("gate-token").value = "";
  tell(byId("gate-why"), "");
  openGate(false);
  byId("token-button").focus();
  feed.start();
}

byId("token-button").addEventListener("click", () => openGate(byId("gate").hidden));
byId("gate-forget").addEventListener("click", () => changeToken(""));
byId("gate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  changeToken(byId("gate-token").value);
});

feed.start();
