// What the HTTP API reads: a head, and a body by it. The input is both, as they would come.
#include <memory>
#include <string>

#include "server/base/error.h"
#include "server/rest/embeddings.h"
#include "server/rest/features.h"
#include "server/rest/head.h"
#include "tests/fuzz/require.h"

namespace pixpool::rest {
namespace {

using testing::Require;

void RequireWork(const absl::StatusOr<Work>& work, const PipelineOptions& options) {
  if (!work.ok()) {
    const auto details = GetErrorDetails(work.status());
    Require(details && !work.status().message().empty(), "every error has a reason and words");
    return;
  }
  const ExtractRequest& request = work->request;
  Require(!request.images.empty(), "a request has an image");
  Require(static_cast<int64_t>(request.images.size()) <= options.max_images_per_request,
          "the limit on images holds");
  Require(static_cast<int64_t>(request.heads.size()) <= options.max_heads_per_request,
          "the limit on heads holds");
}

void Try(std::string_view input) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  const size_t end = input.find(kEnd);
  if (end == input.npos) return;
  RequestHead head;
  const auto fault = ReadHead(input.substr(0, end + kEnd.size()), &head);
  if (fault) {
    Require(fault->status >= 400 && fault->status < 600, "a fault has a status");
    return Require(!fault->message.empty(), "a fault has a message");
  }
  Require(!(head.chunked && head.content_length), "a body has one length");
  Require(head.fields.size() <= kMaxHeadFields, "the limit on fields holds");
  Require(head.path[0] == '/' || head.path == "*", "a path is one");
  const PipelineOptions options;
  static_cast<void>(CheckFeaturesHead(head));
  const auto body = std::make_shared<const std::string>(input.substr(end + kEnd.size()));
  if (head.path == "/v1/embeddings") {
    static_cast<void>(CheckEmbeddingsHead(head));
    return RequireWork(EmbeddingsWork(body, options), options);
  }
  const auto work = FeaturesWork(head, body, options);
  RequireWork(work, options);
  if (!work.ok()) return;
  for (const ImageInput& image : work->request.images) {
    Require(image.encoded.empty() ||
                (image.encoded.data() >= body->data() &&
                 image.encoded.data() + image.encoded.size() <= body->data() + body->size()),
            "pictures are parts of the body");
  }
}

}  // namespace
}  // namespace pixpool::rest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pixpool::rest::Try(pixpool::testing::AsText(data, size));
  return 0;
}
