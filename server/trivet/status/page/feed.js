// The server's events. EventSource cannot send a token, hence a fetch that is read as it comes.

import { authorization } from "/page/token.js";

const SILENT_MS = 6000; // an event comes every second
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 10000;

/** How it stands with the server: what is shown, and whether a token would help. */
export const LIVE = { kind: "ok", text: "Live" };
export const CONNECTING = { kind: "busy", text: "Connecting" };

/** Listens for ever. onEvent(name, value); onState({kind, text, needs}). */
export class Feed {
  #onEvent;
  #onState;
  #pauseMs = FIRST_PAUSE_MS;
  #abort = new AbortController();
  #timer = 0;

  constructor(onEvent, onState) {
    this.#onEvent = onEvent;
    this.#onState = onState;
  }

  /** Begin, or begin anew with what is known now. */
  start() {
    clearTimeout(this.#timer);
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#onState(CONNECTING);
    this.#listen(this.#abort);
  }

  async #listen(abort) {
    let why = "The server ended the connection";
    try {
      const headers = authorization();
      const answer = await fetch("/page/events", { headers, signal: abort.signal, cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) {
        this.#onState({ kind: "bad", text: "Needs a token", needs: await said(answer) });
        return;
      }
      if (!answer.ok) throw new Error(await said(answer));
      this.#onState(LIVE);
      await this.#read(answer.body.getReader(), abort);
    } catch (error) {
      if (this.#abort !== abort) return; // begun anew meanwhile
      if (error.name !== "AbortError") why = error instanceof TypeError ? "No connection" : error.message;
    }
    if (this.#abort === abort) this.#again(why);
  }

  async #read(reader, abort) {
    const decoder = new TextDecoder();
    let rest = "";
    let watch = 0;
    try {
      for (;;) {
        clearTimeout(watch);
        watch = setTimeout(() => abort.abort(), SILENT_MS);
        const { done, value } = await reader.read();
        if (done) return;
        this.#pauseMs = FIRST_PAUSE_MS;
        rest += decoder.decode(value, { stream: true });
        const events = rest.split("\n\n");
        rest = events.pop();
        events.forEach((event) => this.#tell(event));
      }
    } finally {
      clearTimeout(watch);
    }
  }

  #tell(event) {
    const fields = Object.fromEntries(event.split("\n").map(field));
    if (fields.event && fields.data) this.#onEvent(fields.event, JSON.parse(fields.data));
  }

  #again(why) {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    this.#onState({ kind: "bad", text: `${why}; trying again` });
    this.#timer = setTimeout(() => this.start(), pauseMs);
  }
}

function field(line) {
  const place = line.indexOf(":");
  return [line.slice(0, place), line.slice(place + 1).trim()];
}

/** What an answer says: its message, where it is JSON, else its text. */
export async function said(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).message ?? text;
  } catch {
    return text.trim() || `status ${answer.status}`;
  }
}
