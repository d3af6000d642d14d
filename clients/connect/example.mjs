// Text in, answers out, by gRPC-Web with generated code:  node example.mjs [URL]
//
// The same code runs in a browser: connect-web knows nothing but fetch. Streams that browsers can
// read are the server's (health.watch); streams of requests they cannot send, so texts go in one call.

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Health, HealthCheckResponse_ServingStatus as State } from "./build/grpc/health/v1/health_pb.js";
import { GRPCInferenceService } from "./build/grpc_service_pb.js";
import { TextService } from "./build/trivet/v1/text_pb.js";

const [baseUrl = "http://127.0.0.1:8001"] = process.argv.slice(2);
const transport = createGrpcWebTransport({ baseUrl, defaultTimeoutMs: 10_000 });
const text = createClient(TextService, transport);
const tensors = createClient(GRPCInferenceService, transport);
const health = createClient(Health, transport);

async function watch() {
  for await (const { status } of health.watch({})) {
    console.log(`the server is ${State[status]}`);
    break; // which cancels the call
  }
}

async function fillMask(masked) {
  const { results } = await text.fillMask({ texts: [masked], topK: 3 });
  console.log(masked);
  for (const { token, probability } of results[0].masks.flatMap((mask) => mask.candidates))
    console.log(`  ${(100 * probability).toFixed(1).padStart(5)} %  ${token}`);
}

async function compare(first, second) {
  const { results } = await text.embed({ texts: [first, second] });
  const [a, b] = results.map(({ embedding }) => embedding); // of length 1: the product is the cosine
  const cosine = a.reduce((sum, x, i) => sum + x * b[i], 0);
  console.log(`cosine ${cosine.toFixed(2)}: "${first}" and "${second}"`);
}

/** The same model by KServe v2: typed contents in, raw little-endian bytes out. */
async function infer(sentence) {
  const contents = { bytesContents: [new TextEncoder().encode(sentence)] };
  const input = { name: "TEXT", datatype: "BYTES", shape: [1n, 1n], contents };
  const answer = await tensors.modelInfer({ modelName: "embed", inputs: [input] });
  const [{ name, datatype, shape }] = answer.outputs;
  const [raw] = answer.rawOutputContents;
  const vector = new Float32Array(raw.slice().buffer);
  const length = Math.hypot(...vector).toFixed(3);
  console.log(`embed version ${answer.modelVersion}: ${name} ${datatype} [${shape}], length ${length}`);
}

try {
  await watch();
  await fillMask("He opened the [MASK] and walked into the room.");
  await compare("The puppy chewed up my slippers.", "A young dog destroyed my shoes.");
  await infer("The puppy chewed up my slippers.");
} catch (error) {
  const { code, rawMessage } = ConnectError.from(error);
  console.error(`${baseUrl}: ${Code[code]}: ${rawMessage}`);
  process.exitCode = 1;
}
