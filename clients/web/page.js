// What the page does: watches the server's health, a stream for as long as the page is open, and
// asks for the words behind [MASK].

import { call, decoded, encoded, one, Refused, text } from "./grpc_web.js";

const STATUS = ["unknown", "serving", "not serving", "unknown"]; // grpc.health.v1
const RETRY_MS = 2000;

const shown = (id) => document.getElementById(id);
const server = () => shown("server").value.replace(/\/$/, "");

async function watch(signal) {
  try {
    const asked = [server(), "grpc.health.v1.Health/Watch", encoded([]), { signal }];
    for await (const message of call(...asked)) {
      shown("health").textContent = STATUS[decoded(message)[1]?.[0] ?? 0];
    }
  } catch (error) {
    if (!(error instanceof Refused)) return; // ended by us
    shown("health").textContent = error.message;
  }
  if (!signal.aborted) setTimeout(() => signal.aborted || watch(signal), RETRY_MS);
}

async function fill(event) {
  event.preventDefault();
  shown("answer").replaceChildren();
  shown("told").textContent = "…";
  const request = encoded([[3, shown("text").value], [4, Number(shown("top").value)]]);
  try {
    const options = { token: shown("token").value, timeout: 10 };
    const answer = decoded(await one(server(), "trivet.v1.TextService/FillMask", request, options));
    shown("told").textContent = `Answered by ${text(answer[1][0])}, version ${answer[2][0]}.`;
    for (const result of answer[3]) {
      for (const mask of decoded(result)[1] ?? []) shown("answer").append(list(decoded(mask)[2]));
    }
  } catch (error) {
    shown("told").textContent = `${error.code ?? error.name}: ${error.message}`;
  }
}

// The candidates of one mask, the most probable first.
function list(candidates) {
  const made = document.createElement("ol");
  for (const candidate of candidates.map(decoded)) {
    const item = made.appendChild(document.createElement("li"));
    const meter = item.appendChild(document.createElement("meter"));
    meter.value = candidate[3]?.[0] ?? 0;
    item.append(` ${text(candidate[1][0])} ${(100 * meter.value).toFixed(1)} %`);
  }
  return made;
}

let watching = new AbortController();
function start() {
  watching.abort();
  watching = new AbortController();
  shown("health").textContent = "…";
  watch(watching.signal);
}

const wanted = new URLSearchParams(location.search).get("server");
if (wanted) shown("server").value = wanted;
shown("server").addEventListener("change", start);
shown("form").addEventListener("submit", fill);
start();
