// gRPC-Web and as much of protobuf as a page needs, by hand: nothing to install, nothing to build.
//
// call() asks any method: `for await` gives its messages, one of a unary call, as bytes; encoded()
// makes such bytes of fields, decoded() gives fields by number. Field numbers are those of
// protos/trivet_protos/trivet/v1/text.proto.

const TRAILERS = 0x80; // the flag of the last frame
const CODES = [
  "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
  "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
  "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
];

// A call that did not end with OK. code: the status's name, e.g. "NOT_FOUND".
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// Call `method`, e.g. "trivet.v1.TextService/FillMask", with one message or, for a method that takes
// a stream, any number of them; they are all sent before the first answer comes.
//
// timeout: seconds that it may take; signal: of an AbortController that ends it. So does leaving the
// loop. Throws Refused, and AbortError for a call that was ended.
export async function* call(server, method, messages, { token, timeout, signal } = {}) {
  const headers = { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" };
  if (token) headers.authorization = `Bearer ${token}`;
  if (timeout) headers["grpc-timeout"] = `${Math.ceil(timeout * 1000)}m`;
  const body = joined([messages].flat().map(framed));
  const answer = await fetch(`${server}/${method}`, { method: "POST", headers, body, signal })
    .catch((error) => {
      if (error.name === "AbortError") throw error;
      const cure = `--grpc-web-allow-origin=${location.origin}`; // the browser tells neither
      throw new Refused("UNAVAILABLE", `${server} is not there, or was not started with ${cure}`);
    });
  if (!answer.ok) throw new Refused("UNKNOWN", `HTTP ${answer.status}: ${await answer.text()}`);
  check(answer.headers);
  for await (const [flag, content] of frames(answer.body)) {
    if (flag === TRAILERS) return check(trailers(content));
    yield content;
  }
  throw new Refused("UNAVAILABLE", "the answer broke off");
}

// The one message of a unary call.
export async function one(...asked) {
  for await (const message of call(...asked)) return message;
}

function check(told) {
  const code = Number(told.get("grpc-status") ?? 0);
  if (code) throw new Refused(CODES[code], decodeURIComponent(told.get("grpc-message") ?? ""));
}

function trailers(content) {
  const lines = new TextDecoder().decode(content).split("\r\n").filter(Boolean);
  return new Headers(lines.map((line) => line.split(/: ?(.*)/, 2)));
}

function framed(message) {
  const frame = new Uint8Array(5 + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, 5);
  return frame;
}

// [flag, content] of each frame; a chunk of the body may end anywhere.
async function* frames(body) {
  const reader = body.getReader();
  let unread = new Uint8Array();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      unread = joined([unread, value]);
      while (unread.length >= 5) {
        const end = 5 + new DataView(unread.buffer, unread.byteOffset).getUint32(1);
        if (unread.length < end) break;
        yield [unread[0], unread.slice(5, end)];
        unread = unread.subarray(end);
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever leaves early ends the call
  }
}

// A message of [number, value] pairs. Strings, bytes (messages in it) and whole numbers from 0 on.
export function encoded(fields) {
  return joined(fields.flatMap(([number, value]) => {
    if (typeof value === "number") return [varint(number << 3), varint(value)];
    const content = typeof value === "string" ? new TextEncoder().encode(value) : value;
    return [varint((number << 3) | 2), varint(content.length), content];
  }));
}

// The fields of a message: number -> values. Of length-delimited ones bytes, for text() or decoded().
export function decoded(message) {
  const fields = {};
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  let at = 0;
  const number = () => {
    let value = 0;
    for (let weight = 1; ; weight *= 128) {
      const byte = view.getUint8(at++);
      value += (byte & 127) * weight; // exact up to 2 ** 53
      if (byte < 128) return value;
    }
  };
  const read = {
    0: number,
    1: () => view.getFloat64((at += 8) - 8, true),
    2: () => { const size = number(); return message.subarray(at, (at += size)); },
    5: () => view.getFloat32((at += 4) - 4, true),
  };
  while (at < message.length) {
    const key = number();
    (fields[key >>> 3] ??= []).push(read[key & 7]());
  }
  return fields;
}

export const text = (content) => new TextDecoder().decode(content);

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Uint8Array.from([...bytes, value]);
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
