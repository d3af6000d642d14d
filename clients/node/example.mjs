// Text in, answers out, from Node.js:  node example.mjs [HOST:PORT] [FOLDER OF THE .proto FILES]
//
// @grpc/proto-loader reads the .proto files as they are: there is no generated code.

import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../protos/trivet_protos", import.meta.url));
const [address = "127.0.0.1:8001", protos = PROTOS] = process.argv.slice(2);

const { trivet, inference } = grpc.loadPackageDefinition(
  protoLoader.loadSync(["trivet/v1/text.proto", "grpc_service.proto"], {
    includeDirs: [protos],
    keepCase: true, // names as in the .proto file: top_k, not topK
    longs: Number, // versions and token ids are far below 2^53
    oneofs: true, // response.outcome says which of its fields is set
  }),
);

const client = new trivet.v1.TextService(address, grpc.credentials.createInsecure());
const tensors = new inference.GRPCInferenceService(address, grpc.credentials.createInsecure());
const inTime = () => ({ deadline: Date.now() + 10_000 }); // milliseconds; every call should have one

/** A unary call as a promise; a failed one rejects with the gRPC status in `error.code`. */
const ask = (method, request, service = client) =>
  new Promise((resolve, reject) =>
    service[method](request, inTime(), (error, response) =>
      error ? reject(error) : resolve(response),
    ),
  );

async function fillMask(text) {
  const { results } = await ask("FillMask", { texts: [text], top_k: 3 });
  console.log(text);
  for (const mask of results[0].masks)
    for (const { token, probability } of mask.candidates)
      console.log(`  ${(100 * probability).toFixed(1).padStart(5)} %  ${token}`);
}

async function compare(first, second) {
  const { results } = await ask("Embed", { texts: [first, second] });
  const [a, b] = results.map((result) => result.embedding); // of length 1, so the product is the cosine
  const cosine = a.reduce((sum, x, i) => sum + x * b[i], 0);
  console.log(`cosine ${cosine.toFixed(2)}: "${first}" and "${second}"`);
}

/** Embeds texts on one stream. Answers come as they are ready, each with its request's id. */
async function embedStream(texts) {
  const call = client.EmbedStream(inTime());
  texts.forEach((text, index) => call.write({ id: String(index), text }));
  call.end();
  for await (const { id, outcome, result, error } of call) {
    if (outcome === "error") console.log(`  text ${id}: refused, ${error.message}`);
    else console.log(`  text ${id}: ${result.embedding.length} numbers, ${result.cost.tokens} tokens`);
  }
}

/** The same model by KServe v2: typed contents in, raw little-endian bytes out. */
async function infer(text) {
  const input = { name: "TEXT", datatype: "BYTES", shape: [1, 1] };
  input.contents = { bytes_contents: [Buffer.from(text)] };
  const answer = await ask("ModelInfer", { model_name: "embed", inputs: [input] }, tensors);
  const [{ name, datatype, shape }] = answer.outputs;
  const [raw] = answer.raw_output_contents;
  const vector = Array.from({ length: raw.length / 4 }, (_, i) => raw.readFloatLE(4 * i));
  const length = Math.hypot(...vector).toFixed(3);
  console.log(`embed version ${answer.model_version}: ${name} ${datatype} [${shape}], length ${length}`);
}

try {
  await fillMask("He opened the [MASK] and walked into the room.");
  await compare("The puppy chewed up my slippers.", "A young dog destroyed my shoes.");
  console.log("streamed:");
  await embedStream(["One text.", "", "Another, somewhat longer text, which takes its time."]);
  await infer("The puppy chewed up my slippers.");
} catch (error) {
  console.error(`${address}: ${grpc.status[error.code] ?? "failed"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
  tensors.close();
}
