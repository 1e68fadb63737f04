#include "server/rpc/extract_convert.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/rpc/enum_values.h"
#include "server/rpc/head_convert.h"
#include "server/rpc/head_fields.h"
#include "server/rpc/region_convert.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

absl::Status Invalid(std::string_view field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = std::string(field)}, message);
}

absl::StatusOr<std::optional<ResizeMode>> ResizeFromProto(v1::ResizeMode mode) {
  switch (mode) {
    case v1::RESIZE_MODE_UNSPECIFIED:
      return std::optional<ResizeMode>();
    case v1::RESIZE_MODE_SHORTER_SIDE:
      return ResizeMode::kShorterSide;
    case v1::RESIZE_MODE_EXACT:
      return ResizeMode::kExact;
    case v1::RESIZE_MODE_NONE:
      return ResizeMode::kNone;
    default:
      return Invalid("resize", UnknownValue("resize", *v1::ResizeMode_descriptor(), mode));
  }
}

absl::StatusOr<std::optional<CropMode>> CropFromProto(v1::CropMode mode) {
  switch (mode) {
    case v1::CROP_MODE_UNSPECIFIED:
      return std::optional<CropMode>();
    case v1::CROP_MODE_CENTER:
      return CropMode::kCenter;
    case v1::CROP_MODE_NONE:
      return CropMode::kNone;
    default:
      return Invalid("crop", UnknownValue("crop", *v1::CropMode_descriptor(), mode));
  }
}

absl::StatusOr<uint8_t> ColorFromProto(std::string_view name, int value) {
  if (value >= 0 && value <= 255) return static_cast<uint8_t>(value);
  return Invalid(Concat("background.", name),
                 Concat("background.", name, " is ", value, "; it must be 0 to 255"));
}

ImageInput ImageFromProto(const v1::Image& image) {
  ImageInput out;
  if (image.regions_size() > 0) out.regions = RegionsFromProto(image.regions());
  switch (image.source_case()) {
    case v1::Image::kEncoded:
      out.encoded = image.encoded();
      break;
    case v1::Image::kRaw:
      out.is_raw = true;
      out.raw = image.raw().pixels();
      out.raw_width = image.raw().width_px();
      out.raw_height = image.raw().height_px();
      break;
    case v1::Image::SOURCE_NOT_SET:
      out.invalid = Invalid("source", "the image has no source; set encoded or raw");
      break;
  }
  return out;
}

// The fields that a unary request and a stream's settings share.
template <typename Settings>
absl::StatusOr<ExtractRequest> SettingsFromProto(const Settings& settings) {
  ExtractRequest out{.model = settings.model(), .version = settings.model_version()};
  PIXPOOL_ASSIGN_OR_RETURN(out.heads, HeadsFromProto(settings.heads()));
  auto input = InputOptionsFromProto(settings.input_options());
  if (!input.ok()) return PrependField(input.status(), "input_options");
  out.input = *std::move(input);
  auto regions = RegionOptionsFromProto(settings.region_options());
  if (!regions.ok()) return PrependField(regions.status(), "region_options");
  out.regions = *std::move(regions);
  return out;
}

google::protobuf::Duration DurationToProto(TimeDuration d) {
  const int64_t nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
  google::protobuf::Duration out;
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
  return out;
}

}  // namespace

absl::StatusOr<InputOptions> InputOptionsFromProto(const v1::InputOptions& options) {
  if (!v1::DecodeMode_IsValid(options.decode())) {
    return Invalid("decode",
                   UnknownValue("decode", *v1::DecodeMode_descriptor(), options.decode()));
  }
  if (!v1::DamagedMode_IsValid(options.damaged())) {
    return Invalid("damaged",
                   UnknownValue("damaged", *v1::DamagedMode_descriptor(), options.damaged()));
  }
  InputOptions out;
  if (options.damaged() != v1::DAMAGED_MODE_UNSPECIFIED) {
    out.refuse_damaged = options.damaged() == v1::DAMAGED_MODE_REFUSE;
  }
  PIXPOOL_ASSIGN_OR_RETURN(out.resize, ResizeFromProto(options.resize()));
  PIXPOOL_ASSIGN_OR_RETURN(out.crop, CropFromProto(options.crop()));
  if (options.has_input_height_px()) out.height = options.input_height_px();
  if (options.has_input_width_px()) out.width = options.input_width_px();
  if (options.has_resize_size_px()) out.resize_size = options.resize_size_px();
  out.scaled_decode = options.decode() == v1::DECODE_MODE_SCALED;
  if (options.has_apply_exif()) out.apply_exif = options.apply_exif();
  if (options.has_background()) {
    std::array<uint8_t, 3> color{};
    PIXPOOL_ASSIGN_OR_RETURN(color[0], ColorFromProto("red", options.background().red()));
    PIXPOOL_ASSIGN_OR_RETURN(color[1], ColorFromProto("green", options.background().green()));
    PIXPOOL_ASSIGN_OR_RETURN(color[2], ColorFromProto("blue", options.background().blue()));
    out.background = color;
  }
  for (const float scale : options.scales()) out.scales.push_back(WidenFloat(scale));
  out.flip = options.flip();
  return out;
}

absl::Status CheckRequestId(std::string_view field, const std::string& id) {
  const bool printable = std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isprint(static_cast<unsigned char>(c));
  });
  if (printable && id.size() <= kMaxRequestIdLength) return absl::OkStatus();
  return Invalid(field, Concat(field, " has ", id.size(), " bytes; it must be at most ",
                               kMaxRequestIdLength, " printable ASCII characters"));
}

absl::StatusOr<ExtractRequest> ExtractRequestFromProto(const v1::ExtractFeaturesRequest& request) {
  PIXPOOL_RETURN_IF_ERROR(CheckRequestId("request_id", request.request_id()));
  PIXPOOL_ASSIGN_OR_RETURN(ExtractRequest out, SettingsFromProto(request));
  out.images.reserve(static_cast<size_t>(request.images_size()));
  for (const v1::Image& image : request.images()) out.images.push_back(ImageFromProto(image));
  return out;
}

absl::StatusOr<ExtractRequest> StreamRequestFromProto(const v1::StreamConfig& config,
                                                      const v1::Image& image) {
  PIXPOOL_ASSIGN_OR_RETURN(ExtractRequest out, SettingsFromProto(config));
  out.images.push_back(ImageFromProto(image));
  return out;
}

void StageTimesToProto(const StageDurations& times, v1::StageTimes* out) {
  const auto duration = [&times](Stage stage) {
    return DurationToProto(times[static_cast<size_t>(stage)]);
  };
  *out->mutable_queue() = duration(Stage::kQueue);
  *out->mutable_decode() = duration(Stage::kDecode);
  *out->mutable_preprocess() = duration(Stage::kPreprocess);
  *out->mutable_batch_wait() = duration(Stage::kBatchWait);
  *out->mutable_backbone() = duration(Stage::kBackbone);
  *out->mutable_heads() = duration(Stage::kHeads);
  *out->mutable_draw() = duration(Stage::kDraw);
}

void ModelReferenceToProto(const ModelInfo& info, v1::ModelReference* out) {
  out->set_name(info.name);
  out->set_version(info.version);
}

StageDurations LongestTimes(const ExtractResult& result) {
  StageDurations longest{};
  for (const ImageFeatures& image : result.images) {
    for (size_t s = 0; s < longest.size(); ++s) longest[s] = std::max(longest[s], image.times[s]);
  }
  return longest;
}

void NoteResult(const ExtractResult& result, CallRecord* record) {
  int64_t failed = 0;
  int64_t cached = 0;
  for (const ImageFeatures& image : result.images) {
    failed += image.status.ok() ? 0 : 1;
    cached += image.cached ? 1 : 0;
  }
  record->Note("failed_images", failed);
  if (cached > 0) record->Note("cached_images", cached);
  if (failed > 0) record->SetFailed();
  record->Note("model", result.model->info().name);
  record->TraceModel(result.model->info().name, result.model->info().version);
  if (result.load_wait > TimeDuration::zero()) {
    record->Note("load_wait_seconds", ToSeconds(result.load_wait));
  }
  const StageDurations times = LongestTimes(result);
  for (int s = 0; s < static_cast<int>(Stage::kConvert); ++s) {
    record->Note(std::string(StageName(static_cast<Stage>(s))) + "_seconds",
                 ToSeconds(times[static_cast<size_t>(s)]));
  }
}

std::shared_ptr<ModelMetrics> MetricsOf(const ExtractResult& result) {
  return result.model != nullptr ? result.model->metrics : nullptr;
}

void ImageResultToProto(const ExtractResult& result, ImageFeatures&& image, v1::ImageResult* out) {
  if (!image.status.ok()) {
    *out->mutable_status() = ToRpcStatus(image.status);
    return;
  }
  v1::Features* features = out->mutable_features();
  for (size_t h = 0; h < image.outputs.size(); ++h) {
    HeadOutputToProto((*result.heads)[h], result.model->info().labels, std::move(image.outputs[h]),
                      features->add_head_results());
  }
  for (RegionFeatures& region : image.regions) {
    RegionFeaturesToProto(result, std::move(region), features->add_regions());
  }
  features->set_height_px(image.picture.height);
  features->set_width_px(image.picture.width);
  features->set_input_height_px(image.input.height);
  features->set_input_width_px(image.input.width);
  StageTimesToProto(image.times, features->mutable_stage_times());
  for (std::string& warning : image.warnings) features->add_warnings(std::move(warning));
  features->set_cached(image.cached);
}

void ExtractResultToProto(const v1::ExtractFeaturesRequest& request, ExtractResult&& result,
                          v1::ExtractFeaturesResponse* out) {
  StageTimesToProto(LongestTimes(result), out->mutable_stage_times());
  ModelReferenceToProto(result.model->info(), out->mutable_model());
  for (size_t i = 0; i < result.images.size(); ++i) {
    v1::ImageResult* image = out->add_results();
    image->set_image_id(request.images(static_cast<int>(i)).image_id());
    image->set_index(static_cast<int64_t>(i));
    ImageResultToProto(result, std::move(result.images[i]), image);
  }
}

}  // namespace pixpool
