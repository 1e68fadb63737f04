#include "server/pipeline/plan_regions.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/pipeline/passes.h"

namespace pixpool {
namespace {

constexpr int kMaxOutputSide = 64;
constexpr int kMaxSamplingRatio = 16;
// Copies of regions' maps that a pass holds: of the maps themselves, and of the hungriest heads'.
constexpr int64_t kRegionCopies = 3;
// What a result takes in a response, and before it is one, beside its values and texts.
constexpr double kResultBytes = 256;

absl::Status Invalid(std::string_view field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = std::string(field)}, message);
}

absl::Status CheckRange(std::string_view field, int value, int least, int most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return Invalid(field, Concat(field, " is ", value, "; it must be ", least, " to ", most));
}

absl::Status Unused(std::string_view field, std::string_view of) {
  return Invalid(field, Concat(field, " is for ", of, " alone; leave it out"));
}

absl::StatusOr<std::pair<int, int>> OutputSize(const std::vector<int>& sides) {
  constexpr char kField[] = "region_options.output_size";
  if (sides.empty()) return std::pair(RegionPooling().height, RegionPooling().width);
  if (sides.size() > 2) {
    return Invalid(kField, Concat(kField, " has ", sides.size(),
                                  " values; give one for both sides, or height and width"));
  }
  for (const int side : sides) {
    PIXPOOL_RETURN_IF_ERROR(CheckRange(kField, side, 1, kMaxOutputSide));
  }
  return std::pair(sides.front(), sides.back());
}

// An edge of a region, by name.
struct Edge {
  std::string_view name;
  double at;
  double most;  // the picture's side
};

// One region in pixels of the picture. The field is relative to the region.
absl::StatusOr<RegionF> BoxOf(const RegionInput& region, Size picture) {
  const double width = region.relative ? 1 : picture.width;
  const double height = region.relative ? 1 : picture.height;
  const auto& [left, top, right, bottom] = region.box;
  const std::array<Edge, 4> edges = {{{"left", left, width},
                                      {"top", top, height},
                                      {"right", right, width},
                                      {"bottom", bottom, height}}};
  const std::string_view unit = region.relative ? " (shares of the picture's sides)" : " pixels";
  for (const Edge& edge : edges) {
    if (edge.at >= 0 && edge.at <= edge.most) continue;  // false for NaN
    return Invalid(edge.name,
                   Concat(edge.name, " is ", edge.at, "; the picture is ", picture.height, " x ",
                          picture.width, " pixels (height x width), so ", edge.name, " is 0 to ",
                          edge.most, unit));
  }
  if (left >= right) {
    return Invalid("right", Concat("right is ", right, "; it must be above left, ", left));
  }
  if (top >= bottom) {
    return Invalid("bottom", Concat("bottom is ", bottom, "; it must be above top, ", top));
  }
  if (!region.relative) return region.box;
  return RegionF{left * picture.width, top * picture.height, right * picture.width,
                 bottom * picture.height};
}

// The box on the network's input, of which something must be left.
absl::StatusOr<RegionF> OnInputOf(const InputPlan& plan, const ImageFeatures& slot,
                                  const RegionF& box) {
  const RegionF on = OnInput(ScaledPlan(plan, plan.scales.front()), slot.picture, box);
  const bool seen =
      on.right > 0 && on.bottom > 0 && on.left < slot.input.width && on.top < slot.input.height;
  if (seen) return on;
  return Invalid("",
                 "the crop leaves nothing of the region in the network's input; ask for "
                 "input_options.crop CROP_MODE_NONE, or for region_options.mode "
                 "REGION_MODE_CROP, which takes each region as a picture of its own");
}

// What pooling the maps of one region takes, of all layers that heads read, and the heads on them.
struct RegionCost {
  double operations = 0;
  // Samples along both axes for each pixel of the input that a region is long, of which there are
  // as many where it is mostly off the map.
  double samples = 0;
  int64_t channels = 0;
};

RegionCost CostOf(const RequestWork& work, absl::Span<const HeadSpec> heads, const ModelInfo& info,
                  Size input) {
  const RegionPooling& pooling = work.region_pooling;
  std::set<int> layers;
  RegionCost cost;
  for (const HeadSpec& head : heads) {
    const HeadExtents map = ExtentsOf(head, info.layers, input, 1);
    cost.operations += HeadOperations(head, map.c, pooling.height, pooling.width);
    if (!layers.insert(head.layer_index).second) continue;
    cost.operations += RegionPoolingOperations(map.c, map.h, map.w, pooling);
    cost.samples += 1.0 / info.layers[static_cast<size_t>(head.layer_index)].stride;
    cost.channels += map.c;
  }
  return cost;
}

// Whole pixels from one edge to the other, at least one of `side`.
std::pair<int, int> WholePixels(double from, double to, int side) {
  const int first = std::min(static_cast<int>(std::nearbyint(from)), side - 1);
  const int end = std::max(static_cast<int>(std::nearbyint(to)), first + 1);
  return {first, end - first};
}

Region PartOf(const RegionF& box, Size picture) {
  const auto [left, width] = WholePixels(box.left, box.right, picture.width);
  const auto [top, height] = WholePixels(box.top, box.bottom, picture.height);
  return {left, top, width, height};
}

// Size of the network's input for a picture of this size; of several scales the largest. A scale
// may be too small as well.
absl::StatusOr<Size> LargestInput(const PipelineOptions& options, const InputPlan& plan,
                                  Size picture) {
  Size largest;
  for (const double scale : plan.scales) {  // rising
    PIXPOOL_ASSIGN_OR_RETURN(
        largest, NetworkInputSize(ScaledPlan(plan, scale), picture, options.input.max_side));
  }
  return largest;
}

// What is resized of one image, and what waits for its passes, are bounded as an image is.
absl::Status CheckCropPixels(const PipelineOptions& options, const RequestWork& work,
                             const ImageState& image) {
  const int64_t cut = CropPixels(work, image);
  if (cut > options.image.max_pixels) {
    return OverLimit("regions", "pixels of all regions", cut, options.image.max_pixels,
                     "send fewer or smaller regions at a time");
  }
  int64_t pixels = 0;
  for (const CropState& crop : image.crops) {
    pixels += int64_t{crop.input.width} * crop.input.height;
  }
  pixels *= static_cast<int64_t>(work.passes.size());
  if (pixels <= options.image.max_pixels) return absl::OkStatus();
  return OverLimit("regions", "pixels of the network's inputs of all regions", pixels,
                   options.image.max_pixels,
                   "send fewer regions at a time, or ask for a smaller input");
}

}  // namespace

bool HasRegions(const ExtractRequest& request) {
  return std::any_of(request.images.begin(), request.images.end(),
                     [](const ImageInput& image) { return !image.regions.empty(); });
}

absl::StatusOr<RegionPooling> ResolveRegionPooling(const RegionOptions& options) {
  RegionPooling pooling;
  if (options.mode == RegionMode::kCrop) {
    constexpr char kMap[] = "REGION_MODE_MAP";
    if (options.pooling) return Unused("region_options.pooling", kMap);
    if (!options.output_size.empty()) return Unused("region_options.output_size", kMap);
    if (options.sampling_ratio) return Unused("region_options.sampling_ratio", kMap);
    if (options.aligned) return Unused("region_options.aligned", kMap);
    return pooling;
  }
  pooling.kind = options.pooling.value_or(pooling.kind);
  PIXPOOL_ASSIGN_OR_RETURN(const auto size, OutputSize(options.output_size));
  pooling.height = size.first;
  pooling.width = size.second;
  constexpr char kRatio[] = "region_options.sampling_ratio";
  constexpr char kAligned[] = "region_options.aligned";
  if (pooling.kind == RegionPoolingKind::kRoiPool) {
    constexpr char kAlign[] = "REGION_POOLING_ROI_ALIGN";
    if (options.sampling_ratio) return Unused(kRatio, kAlign);
    if (options.aligned) return Unused(kAligned, kAlign);
    return pooling;
  }
  pooling.sampling_ratio = options.sampling_ratio.value_or(pooling.sampling_ratio);
  PIXPOOL_RETURN_IF_ERROR(CheckRange(kRatio, pooling.sampling_ratio, 0, kMaxSamplingRatio));
  pooling.aligned = options.aligned.value_or(pooling.aligned);
  return pooling;
}

absl::Status CheckRegionHeads(absl::Span<const HeadSpec> heads, const RequestWork& work) {
  if (work.passes.size() > 1) {
    const std::string_view field =
        work.plan.scales.size() > 1 ? "input_options.scales" : "input_options.flip";
    return Invalid(field, Concat(field,
                                 " asks for several passes over each picture, whose maps cannot be "
                                 "summed; leave it out, or ask for region_options.mode "
                                 "REGION_MODE_CROP"));
  }
  const RegionPooling& pooling = work.region_pooling;
  for (size_t i = 0; i < heads.size(); ++i) {
    const HeadSpec& head = heads[i];
    const std::string prefix = Concat("heads[", i, "]");
    const bool reads_map = head.layer_index >= 0 && head.type->reads != HeadReads::kTokens;
    if (!reads_map || head.output() == HeadOutputKind::kActivationMap) {
      const std::string field = Concat(prefix, ".", head.kind());
      return MakeError(
          {.reason = ErrorReason::kHeadInvalid, .field = field},
          Concat(field, reads_map ? " shows the whole picture" : " reads no map",
                 ", so it has nothing to say of a region's; ask for region_options.mode "
                 "REGION_MODE_CROP, or for heads on a layer's map"));
    }
    absl::Status fits = CheckHeadOnMap(head, pooling.height, pooling.width);
    if (!fits.ok()) return PrependField(fits, prefix);
  }
  return absl::OkStatus();
}

absl::Status PlanRegions(const PipelineOptions& options, const RequestWork& work,
                         const Model& model, absl::Span<const HeadSpec> heads,
                         int64_t most_pass_bytes, ImageState* image) {
  const std::vector<RegionInput>& regions = image->source->regions;
  PIXPOOL_RETURN_IF_ERROR(CheckRegionCount(options, regions.size()));
  const auto count = static_cast<int64_t>(regions.size());
  ImageFeatures& slot = image->features;
  const RegionCost cost = CostOf(work, heads, model.info(), slot.input);
  for (size_t r = 0; r < regions.size(); ++r) {
    const std::string prefix = Concat("regions[", r, "]");
    absl::StatusOr<RegionF> box = BoxOf(regions[r], slot.picture);
    if (!box.ok()) return PrependField(box.status(), prefix);
    absl::StatusOr<RegionF> on_input = OnInputOf(work.plan, slot, *box);
    if (!on_input.ok()) return PrependField(on_input.status(), prefix);
    slot.regions.push_back({.id = std::string(regions[r].id), .box = *box, .outputs = {}});
    image->regions.push_back(*on_input);
    const double length = on_input->right - on_input->left + on_input->bottom - on_input->top;
    image->region_operations += cost.operations + cost.samples * length;
  }
  const int64_t one = RegionMapBytes(work.region_pooling, cost.channels);
  image->region_bytes = kRegionCopies * std::min(count * one, std::max(one, kRegionMapBytes));
  return CheckPassBytes(model, slot.input, heads, most_pass_bytes, "regions", image->region_bytes);
}

absl::Status PlanCrops(const PipelineOptions& options, const RequestWork& work, const Model& model,
                       absl::Span<const HeadSpec> heads, int64_t most_pass_bytes,
                       ImageState* image) {
  const std::vector<RegionInput>& regions = image->source->regions;
  PIXPOOL_RETURN_IF_ERROR(CheckRegionCount(options, regions.size()));
  ImageFeatures& slot = image->features;
  for (size_t r = 0; r < regions.size(); ++r) {
    const std::string prefix = Concat("regions[", r, "]");
    absl::StatusOr<RegionF> box = BoxOf(regions[r], slot.picture);
    if (!box.ok()) return PrependField(box.status(), prefix);
    const Region part = PartOf(*box, slot.picture);
    absl::StatusOr<Size> input = LargestInput(options, work.plan, {part.width, part.height});
    if (!input.ok()) return PrependField(input.status(), prefix);
    PIXPOOL_RETURN_IF_ERROR(CheckPassBytes(model, *input, heads, most_pass_bytes, prefix));
    const RegionF applied = {static_cast<double>(part.left), static_cast<double>(part.top),
                             static_cast<double>(part.right()), static_cast<double>(part.bottom())};
    slot.regions.push_back({.id = std::string(regions[r].id), .box = applied, .outputs = {}});
    image->crops.push_back({.part = part, .input = *input});
  }
  return CheckCropPixels(options, work, *image);
}

void AddRegions(const RequestWork& work, absl::Span<const HeadSpec> heads, const ModelInfo& info,
                const ImageState& image, HeadCost* cost) {
  const auto pooled = static_cast<int64_t>(image.regions.size());
  const auto results = static_cast<double>(image.features.regions.size());
  for (const HeadSpec& head : heads) {
    const HeadExtents map = {.c = ExtentsOf(head, info.layers, {}, 0).c,
                             .h = work.region_pooling.height,
                             .w = work.region_pooling.width};
    HeadCost one;
    if (pooled > 0) one.Add(head, map, pooled);
    cost->response_bytes += one.response_bytes;
    cost->response_bytes +=
        results * (kResultBytes + static_cast<double>(head.id.size() + head.layer.size()));
  }
  cost->operations += image.region_operations;
  for (const RegionFeatures& region : image.features.regions) {
    cost->response_bytes += kResultBytes + static_cast<double>(region.id.size());
  }
}

}  // namespace pixpool
