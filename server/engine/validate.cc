#include "server/engine/validate.h"

#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

absl::Status OverLimit(std::string_view field, std::string_view what, int64_t actual, int64_t limit,
                       std::string_view flag, std::string_view advice) {
  ErrorDetails details{.reason = ErrorReason::kLimitExceeded, .field = std::string(field)};
  details.metadata = {
      {"limit", Concat(limit)}, {"actual", Concat(actual)}, {"flag", std::string(flag)}};
  return MakeError(details,
                   Concat(what, ": ", actual, "; the limit is ", limit, " (", flag, "); ", advice));
}

absl::Status CheckCounts(const EngineOptions& options, const ExtractRequest& request) {
  if (request.images.empty()) {
    return MakeError({.reason = ErrorReason::kRequestInvalid, .field = "images"},
                     "the request has no image; send at least one");
  }
  const int64_t images = static_cast<int64_t>(request.images.size());
  if (images > options.max_images_per_request) {
    return OverLimit("images", "too many images in one request", images,
                     options.max_images_per_request, "--max-images-per-request",
                     "split the request");
  }
  const int64_t heads = static_cast<int64_t>(request.heads.size());
  if (heads > options.max_heads_per_request) {
    return OverLimit("heads", "too many heads in one request", heads, options.max_heads_per_request,
                     "--max-heads-per-request", "split the request");
  }
  return absl::OkStatus();
}

absl::StatusOr<ImageHeader> CheckRaw(const ImageInput& image, const ImageLimits& limits) {
  const int64_t width = image.raw_width;
  const int64_t height = image.raw_height;
  if (width < 1 || height < 1) {
    return MakeError(
        {.reason = ErrorReason::kRequestInvalid, .field = "raw"},
        Concat("raw image of ", height, "x", width, " (height x width); both must be at least 1"));
  }
  if (width > limits.max_side || height > limits.max_side) {
    return OverLimit("raw", "raw image side in pixels", std::max(width, height), limits.max_side,
                     "--max-image-side", "resize it before sending");
  }
  if (width * height > limits.max_pixels) {
    return OverLimit("raw", "raw image pixels", width * height, limits.max_pixels,
                     "--max-image-pixels", "resize it before sending");
  }
  if (static_cast<int64_t>(image.raw.size()) != width * height * 3) {
    return MakeError(
        {.reason = ErrorReason::kRequestInvalid, .field = "raw.pixels"},
        Concat("raw image of ", height, "x", width, " (height x width) needs ", width * height * 3,
               " bytes of RGB pixels, but has ", image.raw.size()));
  }
  ImageHeader header;
  header.width = image.raw_width;
  header.height = image.raw_height;
  return header;
}

// Checks one image from its header and notes the sizes in its slot.
absl::StatusOr<ImageHeader> CheckImage(const EngineOptions& options, const InputPlan& plan,
                                       const ImageInput& image, Metrics* metrics,
                                       ImageFeatures* slot) {
  PIXPOOL_RETURN_IF_ERROR(image.invalid);
  PIXPOOL_ASSIGN_OR_RETURN(ImageHeader header, image.is_raw
                                                   ? CheckRaw(image, options.image)
                                                   : ReadImageHeader(image.encoded, options.image));
  metrics->ImageSeen(image.is_raw ? "raw" : FormatName(header.format),
                     static_cast<double>(image.is_raw ? image.raw.size() : image.encoded.size()),
                     static_cast<double>(header.width) * header.height);
  // Orientations 5 to 8 swap the axes.
  const bool swapped = plan.apply_exif && header.orientation >= 5;
  slot->picture = swapped ? Size{header.height, header.width} : Size{header.width, header.height};
  PIXPOOL_ASSIGN_OR_RETURN(slot->input,
                           NetworkInputSize(plan, slot->picture, options.max_input_side));
  return header;
}

absl::StatusOr<std::vector<HeadSpec>> ResolveHeads(const ExtractRequest& request,
                                                   const ModelInfo& info, const InputPlan& plan) {
  const std::vector<HeadScope::Layer> layers = info.ScopeLayers();
  const HeadScope scope{.layers = layers,
                        .default_layer = info.default_layer,
                        .classifier_layer = info.classifier_layer,
                        .class_count = info.class_count};
  PIXPOOL_ASSIGN_OR_RETURN(std::vector<HeadSpec> heads, ValidateHeads(request.heads, scope));
  const std::string canonical_plan = plan.Canonical();
  for (HeadSpec& head : heads) {
    head.space_id = MakeSpaceId(info, canonical_plan, head.canonical);
  }
  return heads;
}

// Upper bound of the bytes that one image's results take in the response.
int64_t ResponseBytes(const std::vector<HeadSpec>& heads, const ModelInfo& info, Size input) {
  int64_t bytes = 0;
  for (const HeadSpec& head : heads) {
    const LayerInfo& layer = info.layers[static_cast<size_t>(head.layer_index)];
    // Backbones round their maps up or down; one cell more covers both.
    const int64_t h = input.height / layer.stride + 1;
    const int64_t w = input.width / layer.stride + 1;
    const int64_t values = FindHeadType(head.kind)->value_count(head, layer.channels, h, w);
    const bool indices = head.Has("return_indices") && head.Bool("return_indices");
    bytes += values * static_cast<int64_t>(sizeof(float) + (indices ? sizeof(int64_t) : 0));
  }
  return bytes;
}

}  // namespace

absl::Status ValidateRequest(const EngineOptions& options, Metrics* metrics, RequestWork* work,
                             AdmissionCost* cost) {
  const ExtractRequest& request = work->request;
  const ModelInfo& info = work->result.model->info();
  PIXPOOL_RETURN_IF_ERROR(CheckCounts(options, request));
  auto plan = MakeInputPlan(info.input, request.input, options.max_input_side);
  if (!plan.ok()) return PrependField(plan.status(), "input_options");
  work->plan = *std::move(plan);
  PIXPOOL_ASSIGN_OR_RETURN(std::vector<HeadSpec> heads, ResolveHeads(request, info, work->plan));

  work->headers.resize(request.images.size());
  work->result.images.resize(request.images.size());
  int64_t response_bytes = 0;
  for (size_t i = 0; i < request.images.size(); ++i) {
    const ImageInput& image = request.images[i];
    ImageFeatures& slot = work->result.images[i];
    auto header = CheckImage(options, work->plan, image, metrics, &slot);
    if (!header.ok()) {
      slot.status = PrependField(header.status(), Concat("images[", i, "]"));
      continue;
    }
    work->headers[i] = *header;
    cost->bytes += static_cast<int64_t>(image.is_raw ? image.raw.size() : image.encoded.size());
    cost->pixels += static_cast<int64_t>(header->width) * header->height;
    response_bytes += ResponseBytes(heads, info, slot.input);
  }
  if (response_bytes > options.max_response_bytes) {
    return OverLimit("heads", "estimated bytes of the response", response_bytes,
                     options.max_response_bytes, "--max-response-bytes",
                     "ask for fewer images, smaller maps or pooled features");
  }
  work->result.heads = std::make_shared<const std::vector<HeadSpec>>(std::move(heads));
  return absl::OkStatus();
}

}  // namespace pixpool
