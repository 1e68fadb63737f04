#include "server/kserve/request.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/kserve/inputs.h"
#include "server/kserve/parameters.h"
#include "server/kserve/regions.h"
#include "server/kserve/tensor_bytes.h"
#include "server/pipeline/limits.h"
#include "server/rpc/extract_convert.h"

namespace pixpool::kserve {
namespace {

// Number of images by the shape; 0 where it is not one that the type may have.
int64_t ImageCount(const Input& image) {
  const auto& shape = image.tensor->shape();
  if (shape.empty() || shape[0] < 1) return 0;
  if (image.tensor->datatype() == "BYTES") {
    return shape.size() == 1 || (shape.size() == 2 && shape[1] == 1) ? shape[0] : 0;
  }
  return shape.size() == 4 && shape[1] > 0 && shape[2] > 0 && shape[3] == 3 ? shape[0] : 0;
}

absl::Status CheckImage(const Input& image, FlagNumber max_images) {
  constexpr char kWanted[] =
      "; it must be BYTES [N] or [N,1] of encoded images, or UINT8 [N,H,W,3] of RGB pixels";
  const std::string& type = image.tensor->datatype();
  if (type != "BYTES" && type != "UINT8") {
    return image.Error("datatype", Concat("is ", image.TypeText(), kWanted));
  }
  if (ImageCount(image) == 0) {
    return image.Error("shape", Concat("is ", image.TypeText(), kWanted));
  }
  if (ImageCount(image) <= max_images.value) return absl::OkStatus();
  return OverLimit(image.path + ".shape", "too many images in one request", ImageCount(image),
                   max_images, "split the request");
}

absl::Status SetFiles(const Input& image, ExtractRequest* out) {
  if (!image.raw) {
    const auto& contents = image.tensor->contents().bytes_contents();
    if (contents.size() != ImageCount(image)) {
      return image.Error("shape",
                         Concat("is ", image.TypeText(), ", which means ", ImageCount(image),
                                " images, but there are ", contents.size()));
    }
    for (const std::string& file : contents) out->images.push_back({.encoded = file});
    return absl::OkStatus();
  }
  const auto files = SplitBytes(*image.raw, static_cast<size_t>(ImageCount(image)));
  if (!files.ok())
    return image.ValueError(Concat("is malformed: ", ToStd(files.status().message())));
  for (const std::string_view file : *files) out->images.push_back({.encoded = file});
  return absl::OkStatus();
}

// The pixels of all images: as they came, or packed into bytes that `out` owns then.
absl::StatusOr<std::string_view> Pixels(const Input& image, ExtractRequest* out) {
  if (image.raw) return *image.raw;
  auto packed = std::make_shared<std::string>();
  const auto& values = image.tensor->contents().uint_contents();
  packed->reserve(static_cast<size_t>(values.size()));
  for (const uint32_t value : values) {
    if (value > 255) {
      return image.Error("contents.uint_contents", Concat("has value ", packed->size(), " of ",
                                                          value, "; UINT8 ends at 255"));
    }
    packed->push_back(static_cast<char>(value));
  }
  out->owner = packed;
  return std::string_view(*packed);
}

absl::Status SetPixels(const Input& image, ExtractRequest* out) {
  PIXPOOL_ASSIGN_OR_RETURN(std::string_view pixels, Pixels(image, out));
  const auto& shape = image.tensor->shape();
  // Sides up to 2^31 - 1 first: then nothing below overflows before it is compared.
  constexpr int64_t kMaxSide = INT32_MAX;
  if (shape[1] > kMaxSide || shape[2] > kMaxSide) {
    return image.Error("shape",
                       Concat("is ", image.TypeText(), ", with a side over ", kMaxSide, " pixels"));
  }
  const double wanted = 3.0 * static_cast<double>(shape[0]) * static_cast<double>(shape[1]) *
                        static_cast<double>(shape[2]);
  if (wanted != static_cast<double>(pixels.size())) {
    return image.Error("shape", Concat("is ", image.TypeText(), ", which takes ", wanted,
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
  PIXPOOL_ASSIGN_OR_RETURN(const Inputs inputs, InputsOf(request));
  PIXPOOL_RETURN_IF_ERROR(CheckImage(inputs.image, options.max_images_per_request));
  if (request.outputs_size() > options.max_heads_per_request) {
    // Before any is read: a message has room for millions of names.
    return OverLimit("outputs", "too many heads in one request", request.outputs_size(),
                     options.max_heads_per_request, "split the request");
  }
  ExtractRequest out{.model = request.model_name(), .version = request.model_version()};
  PIXPOOL_ASSIGN_OR_RETURN(out.heads, HeadsFromOutputs(request));
  PIXPOOL_ASSIGN_OR_RETURN(const RequestOptions asked, OptionsFromParameters(request));
  out.input = asked.input;
  out.regions = asked.regions;
  const bool files = inputs.image.tensor->datatype() == "BYTES";
  PIXPOOL_RETURN_IF_ERROR(files ? SetFiles(inputs.image, &out) : SetPixels(inputs.image, &out));
  PIXPOOL_RETURN_IF_ERROR(SetRegions(inputs, options, asked.relative, &out));
  return out;
}

}  // namespace pixpool::kserve
