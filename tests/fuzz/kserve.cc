// A request of the Open Inference Protocol, from its bytes to the native form.
#include "google/protobuf/stubs/logging.h"
#include "server/base/error.h"
#include "server/kserve/parameters.h"
#include "server/kserve/request.h"
#include "tests/fuzz/require.h"

namespace pixpool {
namespace {

using testing::Require;

void RequireReason(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  Require(details.has_value(), "every error has a reason");
  Require(!status.message().empty(), "every error has a message");
}

void Try(const uint8_t* data, size_t size) {
  static const auto quiet = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(quiet);
  inference::ModelInferRequest message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return;
  const absl::StatusOr<Priority> priority =
      kserve::PriorityFromParameters(message, Priority::kBulk);
  if (!priority.ok()) RequireReason(priority.status());
  const PipelineOptions options;
  const absl::StatusOr<ExtractRequest> request = kserve::ExtractRequestFromInfer(message, options);
  if (!request.ok()) return RequireReason(request.status());
  Require(!request->heads.empty(), "a request has a head");
  Require(!request->images.empty(), "a request has an image");
  Require(static_cast<int64_t>(request->images.size()) <= options.max_images_per_request,
          "the limit on images holds");
  for (const ImageInput& image : request->images) {
    Require(!image.is_raw || image.raw.size() == size_t{3} * static_cast<size_t>(image.raw_width) *
                                                     static_cast<size_t>(image.raw_height),
            "pixels are as many as their shape says");
    Require(static_cast<int64_t>(image.regions.size()) <= options.max_regions_per_image,
            "the limit on regions holds");
  }
}

}  // namespace
}  // namespace pixpool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pixpool::Try(data, size);
  return 0;
}
