// Text in, answers out, from C++:  make && build/example [HOST:PORT]
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "grpc_service.grpc.pb.h"
#include "trivet/v1/text.grpc.pb.h"

using grpc::ClientContext;
using grpc::Status;

// Statuses by name, as the other clients print them.
const char* const kStatusNames[] = {
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"};

// A context serves one call; every call should have a deadline.
std::unique_ptr<ClientContext> InTime() {
  auto context = std::make_unique<ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  return context;
}

void Check(const Status& status) {
  if (status.ok()) return;
  throw std::runtime_error(std::string(kStatusNames[status.error_code()]) + ": " +
                           status.error_message());
}

void FillMask(trivet::v1::TextService::Stub& client, const std::string& text) {
  trivet::v1::FillMaskRequest request;
  request.add_texts(text);
  request.set_top_k(3);
  trivet::v1::FillMaskResponse response;
  Check(client.FillMask(InTime().get(), request, &response));
  std::printf("%s\n", text.c_str());
  for (const auto& mask : response.results(0).masks())
    for (const auto& candidate : mask.candidates())
      std::printf("  %5.1f %%  %s\n", 100 * candidate.probability(), candidate.token().c_str());
}

// Sends every text and reads the answers, which come as they are ready, each with its request's id.
// With many texts, write from another thread, so that both directions flow.
void EmbedStream(trivet::v1::TextService::Stub& client, const std::vector<std::string>& texts) {
  auto context = InTime();
  auto stream = client.EmbedStream(context.get());
  for (std::size_t index = 0; index < texts.size(); ++index) {
    trivet::v1::EmbedStreamRequest request;
    request.set_id(std::to_string(index));
    request.set_text(texts[index]);
    if (!stream->Write(request)) break;  // the stream has ended; Finish says why
  }
  stream->WritesDone();
  trivet::v1::EmbedStreamResponse answer;
  while (stream->Read(&answer)) {
    if (answer.has_error())  // this text alone; the stream goes on
      std::printf("  text %s: refused, %s\n", answer.id().c_str(),
                  answer.error().message().c_str());
    else
      std::printf("  text %s: %d numbers, %u tokens\n", answer.id().c_str(),
                  answer.result().embedding_size(), answer.result().cost().tokens());
  }
  Check(stream->Finish());
}

// The same model by KServe v2: typed contents in, raw little-endian bytes out.
void Infer(inference::GRPCInferenceService::Stub& client, const std::string& text) {
  inference::ModelInferRequest request;
  request.set_model_name("embed");
  auto* input = request.add_inputs();
  input->set_name("TEXT");
  input->set_datatype("BYTES");
  input->add_shape(1);
  input->add_shape(1);
  input->mutable_contents()->add_bytes_contents(text);
  inference::ModelInferResponse response;
  Check(client.ModelInfer(InTime().get(), request, &response));

  const std::string& raw = response.raw_output_contents(0);
  std::vector<float> vector(raw.size() / sizeof(float));  // on a little-endian machine, as most are
  std::memcpy(vector.data(), raw.data(), vector.size() * sizeof(float));
  double squares = 0;
  for (float number : vector) squares += number * number;
  std::printf("%s version %s: %s %s of %zu numbers, length %.3f\n", response.model_name().c_str(),
              response.model_version().c_str(), response.outputs(0).name().c_str(),
              response.outputs(0).datatype().c_str(), vector.size(), std::sqrt(squares));
}

int main(int argc, char** argv) {
  const std::string address = argc > 1 ? argv[1] : "127.0.0.1:8001";
  auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  auto texts = trivet::v1::TextService::NewStub(channel);
  auto tensors = inference::GRPCInferenceService::NewStub(channel);
  try {
    FillMask(*texts, "He opened the [MASK] and walked into the room.");
    EmbedStream(*texts, {"One text.", "", "Another, somewhat longer text."});
    Infer(*tensors, "The puppy chewed up my slippers.");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", address.c_str(), error.what());
    return 1;
  }
}
