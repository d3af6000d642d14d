// Text in, answers out, from Node.js:  node example.mjs [HOST:PORT] [FOLDER OF THE .proto FILES]
//
// @grpc/proto-loader reads the .proto file as it is: there is no generated code.

import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../protos/trivet_protos", import.meta.url));
const [address = "127.0.0.1:8001", protos = PROTOS] = process.argv.slice(2);

const { trivet } = grpc.loadPackageDefinition(
  protoLoader.loadSync("trivet/v1/text.proto", {
    includeDirs: [protos],
    keepCase: true, // names as in the .proto file: top_k, not topK
    longs: Number, // versions and token ids are far below 2^53
    oneofs: true, // response.outcome says which of its fields is set
  }),
);

const client = new trivet.v1.TextService(address, grpc.credentials.createInsecure());
const inTime = () => ({ deadline: Date.now() + 10_000 }); // milliseconds; every call should have one

/** A unary call as a promise; a failed one rejects with the gRPC status in `error.code`. */
const ask = (method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, inTime(), (error, response) =>
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

try {
  await fillMask("He opened the [MASK] and walked into the room.");
  await compare("The puppy chewed up my slippers.", "A young dog destroyed my shoes.");
  console.log("streamed:");
  await embedStream(["One text.", "", "Another, somewhat longer text, which takes its time."]);
} catch (error) {
  console.error(`${address}: ${grpc.status[error.code] ?? "failed"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  client.close();
}
