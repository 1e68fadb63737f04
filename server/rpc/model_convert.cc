#include "server/rpc/model_convert.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/head_convert.h"

namespace pixpool {
namespace {

v1::ModelState StateToProto(ModelState state) {
  switch (state) {
    case ModelState::kLoading:
      return v1::MODEL_STATE_LOADING;
    case ModelState::kReady:
    case ModelState::kIdle:
      return v1::MODEL_STATE_READY;
    case ModelState::kFailed:
      return v1::MODEL_STATE_FAILED;
  }
  return v1::MODEL_STATE_UNSPECIFIED;
}

v1::ResizeMode ResizeToProto(ResizeMode mode) {
  switch (mode) {
    case ResizeMode::kShorterSide:
      return v1::RESIZE_MODE_SHORTER_SIDE;
    case ResizeMode::kExact:
      return v1::RESIZE_MODE_EXACT;
    case ResizeMode::kNone:
      return v1::RESIZE_MODE_NONE;
  }
  return v1::RESIZE_MODE_UNSPECIFIED;
}

void RecipeToProto(const InputRecipe& recipe, v1::InputRecipe* out) {
  out->set_resize(ResizeToProto(recipe.resize));
  out->set_resize_size_px(recipe.resize_size);
  if (recipe.resize == ResizeMode::kExact) {
    out->set_resize_height_px(recipe.exact_height > 0 ? recipe.exact_height : recipe.height);
    out->set_resize_width_px(recipe.exact_width > 0 ? recipe.exact_width : recipe.width);
  }
  for (const auto& [height, width] : recipe.sizes.only) {
    v1::InputSize* size = out->add_sizes();
    size->set_height_px(height);
    size->set_width_px(width);
  }
  out->set_size_multiple_px(recipe.sizes.multiple);
  out->set_color(recipe.grey ? "grey" : "rgb");
  out->set_interpolation(std::string(InterpolationName(recipe.interpolation)));
  out->set_crop(recipe.crop == CropMode::kCenter ? v1::CROP_MODE_CENTER : v1::CROP_MODE_NONE);
  out->set_input_height_px(recipe.height);
  out->set_input_width_px(recipe.width);
  out->mutable_mean()->Add(recipe.mean.begin(), recipe.mean.end());
  out->mutable_std()->Add(recipe.std.begin(), recipe.std.end());
}

void LimitsToProto(const PipelineOptions& options, int64_t max_message_bytes, v1::Limits* out) {
  out->set_max_images_per_request(options.max_images_per_request);
  out->set_max_heads_per_request(options.max_heads_per_request);
  out->set_max_image_bytes(options.image.max_bytes);
  out->set_max_image_pixels(options.image.max_pixels);
  out->set_max_image_side_px(options.image.max_side);
  out->set_max_input_side_px(options.input.max_side);
  out->set_max_response_bytes(options.max_response_bytes);
  out->set_max_message_bytes(max_message_bytes);
  out->set_max_head_operations(options.max_head_operations);
  out->set_max_regions_per_image(options.max_regions_per_image);
}

void ProjectionToProto(const Projection& projection, v1::Projection* out) {
  out->set_name(projection.name);
  out->set_layer(projection.layer);
  out->set_vector(projection.vector);
  out->set_head_kind(projection.head_kind);
  out->set_input_dimension_count(static_cast<int32_t>(projection.input_dimensions));
  out->set_output_dimension_count(static_cast<int32_t>(projection.output_dimensions));
  out->set_picture_count(projection.pictures);
  out->set_explained_variance(static_cast<float>(projection.explained_variance));
}

void FilterToProto(const FilterInfo& filter, v1::ConvFilter* out) {
  out->set_name(filter.name);
  out->set_layer(filter.layer);
  for (const int64_t side : filter.kernel_size) out->add_kernel_size(static_cast<int32_t>(side));
  for (const int64_t step : filter.stride) out->add_stride(static_cast<int32_t>(step));
  out->set_output_channel_count(static_cast<int32_t>(filter.output_channels));
  out->set_group_count(static_cast<int32_t>(filter.groups));
}

// Head kinds with the size and space of their default form, where all parameters have defaults.
void HeadTypesToProto(const ModelInfo& info, const InputPlan& plan, v1::Model* out) {
  for (const HeadType& type : HeadTypes()) {
    if (!HeadFits(type, info.Scope())) continue;
    v1::HeadType* row = out->add_head_types();
    *row = HeadTypeToProto(type);
    const auto head = ValidateHead({.id = "", .kind = std::string(type.name)}, info.Scope());
    if (!head.ok()) continue;  // a required parameter
    const HeadExtents map = ExtentsOf(*head, info.layers, {plan.width, plan.height}, 0);
    row->set_default_value_count(type.value_count(*head, map.c, map.h, map.w));
    row->set_default_space_id(MakeSpaceId(info, plan.Canonical(), head->canonical));
    if (type.name == "global_avg") out->set_space_id(row->default_space_id());
  }
}

}  // namespace

void ModelToProto(const ModelEntry& entry, const PipelineOptions& options,
                  int64_t max_message_bytes, v1::Model* out) {
  out->set_name(entry.name);
  out->set_version(entry.version);
  out->set_state(StateToProto(entry.state));
  out->set_state_message(entry.message);
  LimitsToProto(options, max_message_bytes, out->mutable_limits());
  if (entry.info() == nullptr) return;

  out->set_idle(entry.state == ModelState::kIdle);
  const ModelInfo& info = *entry.info();
  out->set_engine(info.engine);
  out->set_device(info.device);
  out->set_precision(info.precision);
  out->set_license(info.license);
  out->set_weights_sha256(info.weights_sha256);
  RecipeToProto(info.input, out->mutable_input_recipe());
  for (const LayerInfo& layer : info.layers) {
    v1::Layer* l = out->add_layers();
    l->set_name(layer.name);
    l->set_channel_count(layer.channels);
    l->set_stride_px(layer.stride);
    l->set_non_negative(layer.non_negative);
    l->set_prefix_token_count(layer.prefix_tokens);
    l->set_has_class_token(layer.class_token);
  }
  for (const VectorInfo& vector : info.vectors) {
    v1::Vector* v = out->add_vectors();
    v->set_name(vector.name);
    v->set_dimension_count(vector.dimensions);
  }
  out->set_default_layer(info.default_layer);
  out->set_classifier_layer(info.classifier_layer);
  out->set_classifier_vector(info.classifier_vector);
  out->mutable_labels()->Add(info.labels.begin(), info.labels.end());
  out->set_class_count(info.class_count);
  for (const auto& projection : info.projections) {
    ProjectionToProto(*projection, out->add_projections());
  }
  for (const FilterInfo& filter : info.filters) FilterToProto(filter, out->add_filters());
  for (std::string& warning : info.Warnings()) out->add_warnings(std::move(warning));
  const auto plan = MakeInputPlan(info.input, InputOptions{}, options.input.max_side);
  if (plan.ok()) HeadTypesToProto(info, *plan, out);
}

}  // namespace pixpool
