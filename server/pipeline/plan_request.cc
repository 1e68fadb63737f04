#include "server/pipeline/plan_request.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/input/picture_inputs.h"
#include "server/pipeline/draw.h"
#include "server/pipeline/limits.h"
#include "server/pipeline/passes.h"
#include "server/pipeline/plan_regions.h"

namespace pixpool {
namespace {

int64_t Area(Size size) { return int64_t{size.width} * size.height; }

absl::Status CheckCounts(const PipelineOptions& options, const ExtractRequest& request) {
  if (request.images.empty()) {
    return MakeError({.reason = ErrorReason::kRequestInvalid, .field = "images"},
                     "the request has no image; send at least one");
  }
  const int64_t images = static_cast<int64_t>(request.images.size());
  if (images > options.max_images_per_request) {
    return OverLimit("images", "too many images in one request", images,
                     options.max_images_per_request, "split the request");
  }
  return CheckHeadCount(options, request.heads.size());
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
                     "resize it before sending");
  }
  if (width * height > limits.max_pixels) {
    return OverLimit("raw", "raw image pixels", width * height, limits.max_pixels,
                     "resize it before sending");
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

// What one image takes while it is decoded and until it is through the network, as pixels: a window
// of rows or all of it, whichever it is. Tables and the input are left out as far as they are more
// than the picture, since thousands of small ones may wait and have none of these yet.
int64_t HeldPixels(const RequestWork& work, const ImageState& image) {
  constexpr int64_t kTables = 1 << 20;
  const int64_t bytes = MostBytes({.bytes = {},
                                   .header = image.header,
                                   .is_raw = image.source->is_raw,
                                   .plan = work.plan,
                                   .keep_picture = work.keeps_pictures,
                                   .regions = PartsOf(image),
                                   .whole = work.PassesWhole(image)});
  const int64_t pixels = static_cast<int64_t>(image.header.width) * image.header.height;
  return std::max(std::min(pixels, bytes / kBytesPerPixel), (bytes - kTables) / kBytesPerPixel);
}

// Checks one image from its header and notes header and sizes in its state.
absl::Status PlanImage(const PipelineOptions& options, const RequestWork& work, ImageState* image) {
  const InputPlan& plan = work.plan;
  const ImageInput& source = *image->source;
  PIXPOOL_RETURN_IF_ERROR(source.invalid);
  PIXPOOL_ASSIGN_OR_RETURN(image->header, source.is_raw
                                              ? CheckRaw(source, options.image)
                                              : ReadImageHeader(source.encoded, options.image));
  ImageFeatures& slot = image->features;
  slot.picture = UprightSize(image->header, plan.apply_exif);
  const RegionOptions& regions = work.request.regions;
  if (regions.mode == RegionMode::kCrop && !source.regions.empty() && !regions.include_image) {
    return absl::OkStatus();  // nothing is made of the picture as a whole
  }
  // Scales rise, so the last one's input is the largest; a scale may be too small as well.
  for (const double scale : plan.scales) {
    PIXPOOL_ASSIGN_OR_RETURN(slot.input, NetworkInputSize(ScaledPlan(plan, scale), slot.picture,
                                                          options.input.max_side));
  }
  return absl::OkStatus();
}

// Gives each head its space id; `more` follows the head's own text.
void NameSpaces(const ModelInfo& info, const InputPlan& plan, std::string_view more,
                std::vector<HeadSpec>* heads) {
  const std::string canonical_plan = plan.Canonical();
  for (HeadSpec& head : *heads) {
    head.space_id = MakeSpaceId(info, canonical_plan, Concat(head.canonical, more));
  }
}

// Settles how regions are pooled, and the heads' space ids then.
absl::Status ResolveRegions(const ModelInfo& info, const std::vector<HeadSpec>& heads,
                            RequestWork* work) {
  PIXPOOL_ASSIGN_OR_RETURN(work->region_pooling, ResolveRegionPooling(work->request.regions));
  // A crop is a picture like any other.
  const bool pools = work->request.regions.mode == RegionMode::kMap;
  if (!pools || !HasRegions(work->request)) return absl::OkStatus();
  PIXPOOL_RETURN_IF_ERROR(CheckRegionHeads(heads, *work));
  std::vector<HeadSpec> region_heads = heads;
  NameSpaces(info, work->plan, work->region_pooling.Canonical(), &region_heads);
  work->result.region_heads =
      std::make_shared<const std::vector<HeadSpec>>(std::move(region_heads));
  return absl::OkStatus();
}

// Vectors of several passes can be summed; what has a place on the picture cannot.
absl::Status CheckPasses(const std::vector<InputPass>& passes, const std::vector<HeadSpec>& heads) {
  if (passes.size() == 1) return absl::OkStatus();
  for (size_t i = 0; i < heads.size(); ++i) {
    if (heads[i].output() == HeadOutputKind::kVector) continue;
    const std::string field = Concat("heads[", i, "].", heads[i].kind());
    return MakeError({.reason = ErrorReason::kHeadInvalid, .field = field},
                     Concat(field,
                            " gives no vector; input_options.scales and flip sum the vectors "
                            "of several passes, so ask for it in a request without them"));
  }
  return absl::OkStatus();
}

// Adds what the heads of one picture cost in all passes.
void AddPicture(const std::vector<HeadSpec>& heads, const ModelInfo& info, size_t passes,
                Size picture, Size input, HeadCost* cost) {
  for (const HeadSpec& head : heads) {
    const HeadExtents map = ExtentsOf(head, info.layers, input, 1);
    cost->Add(head, map, 1);
    cost->operations += static_cast<double>(passes - 1) * HeadOperations(head, map.c, map.h, map.w);
    // A PNG file is hardly ever larger than its pixels.
    if (Draws(head) && head.Enum("format") != "floats") {
      cost->response_bytes += 3.0 * picture.width * picture.height;
    }
  }
}

// Adds what the heads of one image cost, regions included.
void AddImage(const RequestWork& work, const std::vector<HeadSpec>& heads, const ModelInfo& info,
              const ImageState& image, HeadCost* cost) {
  const ImageFeatures& slot = image.features;
  const size_t passes = work.passes.size();
  if (work.TakesWhole(image)) AddPicture(heads, info, passes, slot.picture, slot.input, cost);
  for (const CropState& crop : image.crops) {
    AddPicture(heads, info, passes, {crop.part.width, crop.part.height}, crop.input, cost);
  }
  AddRegions(work, heads, info, image, cost);
}

// Settles what an image's regions are, of one whose header and sizes are known.
absl::Status PlanParts(const PipelineOptions& options, const RequestWork& work, const Model& model,
                       const std::vector<HeadSpec>& heads, int64_t most_pass_bytes,
                       ImageState* image) {
  if (image->source->regions.empty()) return absl::OkStatus();
  if (work.request.regions.mode == RegionMode::kMap) {
    return PlanRegions(options, work, model, heads, most_pass_bytes, image);
  }
  PIXPOOL_RETURN_IF_ERROR(PlanCrops(options, work, model, heads, most_pass_bytes, image));
  // What is reported, where the picture as a whole has none.
  Size& input = image->features.input;
  for (const CropState& crop : image->crops) {
    if (!work.request.regions.include_image && Area(crop.input) > Area(input)) input = crop.input;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AdmissionCost> PlanRequest(const PipelineOptions& options, RequestWork* work,
                                          int64_t most_pass_bytes) {
  const ExtractRequest& request = work->request;
  const Model& model = *work->result.model->model;
  const ModelInfo& info = model.info();
  PIXPOOL_RETURN_IF_ERROR(CheckCounts(options, request));
  auto plan = MakeInputPlan(info.input, request.input, options.input.max_side);
  if (!plan.ok()) return PrependField(plan.status(), "input_options");
  work->plan = *std::move(plan);
  PIXPOOL_ASSIGN_OR_RETURN(std::vector<HeadSpec> heads, ValidateHeads(request.heads, info.Scope()));
  NameSpaces(info, work->plan, "", &heads);
  work->passes = PassesOf(work->plan);
  PIXPOOL_RETURN_IF_ERROR(CheckPasses(work->passes, heads));
  PIXPOOL_RETURN_IF_ERROR(ResolveRegions(info, heads, work));
  // Scales rise, and with a crop every picture becomes input of the plan's own size.
  const bool one_size = work->plan.crop == CropMode::kCenter;
  if (one_size) {
    const InputPlan largest = ScaledPlan(work->plan, work->plan.scales.back());
    PIXPOOL_RETURN_IF_ERROR(CheckPassBytes(model, {largest.width, largest.height}, heads,
                                           most_pass_bytes, "input_options.input_height_px"));
  }
  work->refuse_damaged = request.input.refuse_damaged.value_or(options.damage.refuse());
  work->draws = std::any_of(heads.begin(), heads.end(), Draws);
  work->keeps_pictures = std::any_of(heads.begin(), heads.end(), DrawsOnPicture);

  work->images = std::vector<ImageState>(request.images.size());
  AdmissionCost cost{.passes = 0};
  int64_t bytes = 0;
  HeadCost head_cost;
  for (size_t i = 0; i < work->images.size(); ++i) {
    ImageState& image = work->images[i];
    image.source = &request.images[i];
    // Of one that fails here too: they are held as long as those of the others.
    bytes += static_cast<int64_t>(image.source->encoded.size() + image.source->raw.size());
    absl::Status status = PlanImage(options, *work, &image);
    if (status.ok() && !one_size && image.features.input != Size()) {
      status = CheckPassBytes(model, image.features.input, heads, most_pass_bytes, "");
    }
    if (status.ok()) status = PlanParts(options, *work, model, heads, most_pass_bytes, &image);
    if (!status.ok()) {
      image.features.status = PrependField(status, Concat("images[", i, "]"));
      continue;
    }
    // A crop's features are not where those of its image are, so that one alone is a group too.
    const size_t passes = work->PassCount(image);
    if (passes > 1 || !image.crops.empty()) image.passes = std::make_unique<PassGroup>(passes);
    image.held_pixels = HeldPixels(*work, image);
    cost.pixels += image.held_pixels;
    cost.passes += static_cast<int>(passes);
    AddImage(*work, heads, info, image, &head_cost);
  }
  PIXPOOL_RETURN_IF_ERROR(CheckHeadCost(options, head_cost));
  // At most max_response_bytes now. The answer is held as long as the images are.
  cost.bytes = static_cast<int64_t>(head_cost.response_bytes) + (cost.passes > 0 ? bytes : 0);
  work->result.heads = std::make_shared<const std::vector<HeadSpec>>(std::move(heads));
  return cost;
}

}  // namespace pixpool
