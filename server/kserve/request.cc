#include "server/kserve/request.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/kserve/parameters.h"
#include "server/kserve/tensor_bytes.h"
#include "server/pipeline/limits.h"
#include "server/rpc/extract_convert.h"

namespace pixpool::kserve {
namespace {

using InputTensor = inference::ModelInferRequest::InferInputTensor;

constexpr char kWanted[] =
    "; the one input is \"image\": BYTES [N] or [N,1] of encoded images, or UINT8 [N,H,W,3] "
    "of RGB pixels";

absl::Status Invalid(std::string_view field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = std::string(field)},
                   Concat(field, ": ", message));
}

std::string ShapeText(const InputTensor& input) {
  std::string text;
  for (const int64_t side : input.shape()) text += Concat(text.empty() ? "[" : ",", side);
  return text.empty() ? "[]" : text + "]";
}

// Number of images by the shape; 0 where it is not one that the type may have.
int64_t ImageCount(const InputTensor& input) {
  const auto& shape = input.shape();
  if (shape.empty() || shape[0] < 1) return 0;
  if (input.datatype() == "BYTES") {
    return shape.size() == 1 || (shape.size() == 2 && shape[1] == 1) ? shape[0] : 0;
  }
  return shape.size() == 4 && shape[1] > 0 && shape[2] > 0 && shape[3] == 3 ? shape[0] : 0;
}

absl::Status CheckInput(const inference::ModelInferRequest& request, FlagNumber max_images) {
  if (request.inputs_size() != 1) {
    return Invalid("inputs", Concat("there are ", request.inputs_size(), kWanted));
  }
  const InputTensor& input = request.inputs(0);
  if (input.name() != "image") {
    return Invalid("inputs[0].name", Concat("there is no input \"", input.name(), "\"", kWanted));
  }
  if (input.datatype() != "BYTES" && input.datatype() != "UINT8") {
    return Invalid("inputs[0].datatype", Concat("it is \"", input.datatype(), "\"", kWanted));
  }
  if (input.parameters().contains("shared_memory_region")) {
    return MakeError({.reason = ErrorReason::kNotImplemented, .field = "inputs[0].parameters"},
                     "inputs[0].parameters: shared memory is not served; send the bytes");
  }
  if (ImageCount(input) == 0) {
    return Invalid("inputs[0].shape",
                   Concat(input.datatype(), " of shape ", ShapeText(input), kWanted));
  }
  if (ImageCount(input) > max_images.value) {
    return OverLimit("inputs[0].shape", "too many images in one request", ImageCount(input),
                     max_images, "split the request");
  }
  if (request.raw_input_contents_size() > 1) {
    return Invalid("raw_input_contents", Concat("there are ", request.raw_input_contents_size(),
                                                " tensors for one input"));
  }
  if (request.raw_input_contents_size() == 1 && input.has_contents()) {
    return Invalid("inputs[0].contents", "the values are in raw_input_contents already");
  }
  return absl::OkStatus();
}

absl::Status FilesFromRequest(const inference::ModelInferRequest& request, ExtractRequest* out) {
  const InputTensor& input = request.inputs(0);
  if (request.raw_input_contents_size() == 0) {
    const auto& contents = input.contents().bytes_contents();
    if (contents.size() != ImageCount(input)) {
      return Invalid("inputs[0].shape",
                     Concat("the shape ", ShapeText(input), " means ", ImageCount(input),
                            " images, but there are ", contents.size()));
    }
    for (const std::string& file : contents) out->images.push_back({.encoded = file});
    return absl::OkStatus();
  }
  const auto files =
      SplitBytes(request.raw_input_contents(0), static_cast<size_t>(ImageCount(input)));
  if (!files.ok()) {
    return Invalid("raw_input_contents[0]", ToStd(files.status().message()));
  }
  for (const std::string_view file : *files) out->images.push_back({.encoded = file});
  return absl::OkStatus();
}

// The pixels of all images: as they came, or packed into bytes that `out` owns then.
absl::StatusOr<std::string_view> Pixels(const inference::ModelInferRequest& request,
                                        ExtractRequest* out) {
  if (request.raw_input_contents_size() == 1) {
    return std::string_view(request.raw_input_contents(0));
  }
  auto packed = std::make_shared<std::string>();
  const auto& values = request.inputs(0).contents().uint_contents();
  packed->reserve(static_cast<size_t>(values.size()));
  for (const uint32_t value : values) {
    if (value > 255) {
      return Invalid("inputs[0].contents.uint_contents",
                     Concat("value ", packed->size(), " is ", value, "; UINT8 ends at 255"));
    }
    packed->push_back(static_cast<char>(value));
  }
  out->owner = packed;
  return std::string_view(*packed);
}

absl::Status PixelsFromRequest(const inference::ModelInferRequest& request, ExtractRequest* out) {
  PIXPOOL_ASSIGN_OR_RETURN(std::string_view pixels, Pixels(request, out));
  const auto& shape = request.inputs(0).shape();
  // Sides up to 2^31 - 1 first: then nothing below overflows before it is compared.
  constexpr int64_t kMaxSide = INT32_MAX;
  if (shape[1] > kMaxSide || shape[2] > kMaxSide) {
    return Invalid("inputs[0].shape", Concat("a side of ", ShapeText(request.inputs(0)),
                                             " is over ", kMaxSide, " pixels"));
  }
  const double wanted = 3.0 * static_cast<double>(shape[0]) * static_cast<double>(shape[1]) *
                        static_cast<double>(shape[2]);
  if (wanted != static_cast<double>(pixels.size())) {
    return Invalid("inputs[0].shape",
                   Concat("pixels of shape ", ShapeText(request.inputs(0)), " take ", wanted,
                          " bytes, but there are ", pixels.size()));
  }
  const size_t bytes = pixels.size() / static_cast<size_t>(shape[0]);
  for (int64_t i = 0; i < shape[0]; ++i) {
    out->images.push_back({.raw = pixels.substr(static_cast<size_t>(i) * bytes, bytes),
                           .raw_width = static_cast<int>(shape[2]),
                           .raw_height = static_cast<int>(shape[1]),
                           .is_raw = true});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ExtractRequest> ExtractRequestFromInfer(const inference::ModelInferRequest& request,
                                                       const PipelineOptions& options) {
  PIXPOOL_RETURN_IF_ERROR(CheckRequestId("id", request.id()));
  PIXPOOL_RETURN_IF_ERROR(CheckInput(request, options.max_images_per_request));
  if (request.outputs_size() > options.max_heads_per_request) {
    // Before any is read: a message has room for millions of names.
    return OverLimit("outputs", "too many heads in one request", request.outputs_size(),
                     options.max_heads_per_request, "split the request");
  }
  ExtractRequest out{.model = request.model_name(), .version = request.model_version()};
  PIXPOOL_ASSIGN_OR_RETURN(out.heads, HeadsFromOutputs(request));
  PIXPOOL_ASSIGN_OR_RETURN(out.input, InputOptionsFromParameters(request));
  const bool files = request.inputs(0).datatype() == "BYTES";
  PIXPOOL_RETURN_IF_ERROR(files ? FilesFromRequest(request, &out)
                                : PixelsFromRequest(request, &out));
  return out;
}

}  // namespace pixpool::kserve
