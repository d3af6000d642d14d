// Calls by connect-web and by grpc-web. Each gives {messages, code, text, trailers, details}:
// a list of what came, the status as a number and its text, and what was told beside them.

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GrpcWebClientBase, MethodDescriptor, MethodType } from "grpc-web";
import { Health } from "/build/grpc/health/v1/health_pb.js";
import { GRPCInferenceService } from "/build/grpc_service_pb.js";

const DETAILS = "grpc-status-details-bin";

async function byConnect(baseUrl, service, name, request, { headers, timeoutMs, stopAfter } = {}) {
  const client = createClient(service, createGrpcWebTransport({ baseUrl }));
  const came = { messages: [], code: 0, text: "", trailers: {}, details: "" };
  const keep = (headers) => Object.assign(came.trailers, Object.fromEntries(headers));
  const abort = new AbortController();
  const options = { headers, timeoutMs, onTrailer: keep, signal: abort.signal };
  try {
    if (service.method[name].methodKind === "unary")
      came.messages.push(await client[name](request, options));
    else
      for await (const message of client[name](request, options)) {
        came.messages.push(message);
        if (came.messages.length === stopAfter) abort.abort();
      }
  } catch (caught) {
    const error = ConnectError.from(caught);
    keep(error.metadata);
    Object.assign(came, { code: error.code, text: error.rawMessage });
    came.details = error.details.map(({ type }) => type).join();
  }
  return came;
}

/** What protoc-gen-grpc-web writes of a method, and the messages of protoc-gen-es. */
function descriptor({ parent, name, methodKind, input, output }) {
  const kind = methodKind === "unary" ? MethodType.UNARY : MethodType.SERVER_STREAMING;
  const write = (request) => toBinary(input, create(input, request));
  const read = (bytes) => fromBinary(output, bytes);
  return new MethodDescriptor(`/${parent.typeName}/${name}`, kind, Object, Object, write, read);
}

function byGrpcWeb(format, baseUrl, service, name, request, { headers, timeoutMs, stopAfter } = {}) {
  const method = descriptor(service.method[name]);
  const client = new GrpcWebClientBase({ format });
  const metadata = { ...headers };
  if (timeoutMs) metadata.deadline = String(Date.now() + timeoutMs);
  const came = { messages: [], code: 0, text: "", trailers: {}, details: "" };
  const told = ({ code, message, details, metadata }) => {
    Object.assign(came, { code, text: message ?? details });
    Object.assign(came.trailers, metadata);
  };
  return new Promise((resolve) => {
    const url = baseUrl + method.getName();
    if (service.method[name].methodKind === "unary")
      client
        .rpcCall(url, request, metadata, method, (error, message) => {
          if (error) told(error);
          else came.messages.push(message);
          resolve(came);
        })
        .on("status", told);
    else {
      const stream = client.serverStreaming(url, request, metadata, method);
      stream.on("data", (message) => {
        if (came.messages.push(message) === stopAfter) resolve((stream.cancel(), came));
      });
      stream.on("error", told);
      stream.on("status", told);
      stream.on("end", () => resolve(came));
    }
  });
}

const CLIENTS = {
  connect: byConnect,
  "grpc-web": (...call) => byGrpcWeb("binary", ...call),
  "grpc-web-text": (...call) => byGrpcWeb("text", ...call),
};
const TOO_LONG_MS = 20_000;
const SERVICES = { infer: GRPCInferenceService, health: Health };

/** A call, as tests write it. Values of int64 come back as texts. */
window.ask = async (client, baseUrl, service, name, request, options) => {
  const asked = CLIENTS[client](baseUrl, SERVICES[service], name, request, options);
  const late = (_, reject) =>
    setTimeout(() => reject(Error(`${client}: no end of ${name} ${JSON.stringify(request)}`)), TOO_LONG_MS);
  const came = await Promise.race([asked, new Promise(late)]);
  const plain = (key, value) => (typeof value === "bigint" ? String(value) : value);
  return JSON.parse(JSON.stringify({ ...came, statusDetails: came.trailers[DETAILS] }, plain));
};
