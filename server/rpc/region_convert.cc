#include "server/rpc/region_convert.h"

#include <optional>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/rpc/enum_values.h"
#include "server/rpc/head_convert.h"

namespace pixpool {
namespace {

absl::Status Unknown(std::string_view field, const google::protobuf::EnumDescriptor& type,
                     int number) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = std::string(field)},
                   UnknownValue(field, type, number));
}

absl::StatusOr<RegionMode> ModeFromProto(v1::RegionMode mode) {
  switch (mode) {
    case v1::REGION_MODE_UNSPECIFIED:
    case v1::REGION_MODE_MAP:
      return RegionMode::kMap;
    case v1::REGION_MODE_CROP:
      return RegionMode::kCrop;
    default:
      return Unknown("mode", *v1::RegionMode_descriptor(), mode);
  }
}

absl::StatusOr<std::optional<RegionPoolingKind>> PoolingFromProto(v1::RegionPooling pooling) {
  switch (pooling) {
    case v1::REGION_POOLING_UNSPECIFIED:
      return std::optional<RegionPoolingKind>();
    case v1::REGION_POOLING_ROI_ALIGN:
      return RegionPoolingKind::kRoiAlign;
    case v1::REGION_POOLING_ROI_POOL:
      return RegionPoolingKind::kRoiPool;
    default:
      return Unknown("pooling", *v1::RegionPooling_descriptor(), pooling);
  }
}

}  // namespace

absl::StatusOr<RegionOptions> RegionOptionsFromProto(const v1::RegionOptions& options) {
  RegionOptions out;
  PIXPOOL_ASSIGN_OR_RETURN(out.mode, ModeFromProto(options.mode()));
  PIXPOOL_ASSIGN_OR_RETURN(out.pooling, PoolingFromProto(options.pooling()));
  out.output_size.assign(options.output_size().begin(), options.output_size().end());
  if (options.has_sampling_ratio()) out.sampling_ratio = options.sampling_ratio();
  if (options.has_aligned()) out.aligned = options.aligned();
  out.include_image = options.include_image();
  return out;
}

std::vector<RegionInput> RegionsFromProto(
    const google::protobuf::RepeatedPtrField<v1::Region>& regions) {
  std::vector<RegionInput> out;
  out.reserve(static_cast<size_t>(regions.size()));
  for (const v1::Region& region : regions) {
    out.push_back({.id = region.region_id(),
                   .box = {region.left(), region.top(), region.right(), region.bottom()},
                   .relative = region.relative()});
  }
  return out;
}

void RegionFeaturesToProto(const ExtractResult& result, RegionFeatures&& region,
                           v1::RegionFeatures* out) {
  const std::vector<HeadSpec>& heads = *(result.region_heads ? result.region_heads : result.heads);
  out->set_region_id(std::move(region.id));
  for (size_t h = 0; h < region.outputs.size(); ++h) {
    HeadOutputToProto(heads[h], result.model->info().labels, std::move(region.outputs[h]),
                      out->add_head_results());
  }
  out->set_left_px(static_cast<float>(region.box.left));
  out->set_top_px(static_cast<float>(region.box.top));
  out->set_right_px(static_cast<float>(region.box.right));
  out->set_bottom_px(static_cast<float>(region.box.bottom));
}

}  // namespace pixpool
