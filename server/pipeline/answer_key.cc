#include "server/pipeline/answer_key.h"

#include <bit>
#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "server/pipeline/work.h"

namespace pixpool {
namespace {

// Numbers have eight bytes and texts their length in front, so that what is written by the same
// calls is the same text only where all values are the same.
class KeyText {
 public:
  template <typename T>
  requires(std::integral<T> || std::is_enum_v<T>) void Add(T value) {
    const auto bits = static_cast<uint64_t>(value);
    text_.append(reinterpret_cast<const char*>(&bits), sizeof bits);
  }
  void Add(double value) { Add(std::bit_cast<uint64_t>(value)); }
  void Add(std::string_view value) {
    Add(value.size());
    text_.append(value);
  }
  void Add(const std::string& value) { Add(std::string_view(value)); }
  void Add(const Sha256Digest& digest) {
    text_.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  template <typename T>
  void Add(const std::optional<T>& value) {
    Add(value.has_value());
    if (value) Add(*value);
  }
  void Add(const std::array<uint8_t, 3>& values) {
    for (const uint8_t value : values) Add(value);
  }
  template <typename T>
  void Add(const std::vector<T>& values) {
    Add(values.size());
    for (const T& value : values) Add(value);
  }
  template <typename A, typename B>
  void Add(const std::pair<A, B>& value) {
    Add(value.first);
    Add(value.second);
  }
  void Add(const ParamMap& params) {
    Add(params.size());
    for (const auto& [name, value] : params) {
      Add(name);
      Add(value.index());
      std::visit([this](const auto& v) { Add(v); }, value);
    }
  }
  void Add(const RegionF& value) {
    const auto& [left, top, right, bottom] = value;
    for (const double edge : {left, top, right, bottom}) Add(edge);
  }
  void Add(const Region& value) {
    const auto& [left, top, width, height] = value;
    for (const int side : {left, top, width, height}) Add(side);
  }
  void Add(const CropState& value) {
    const auto& [part, input] = value;  // the input follows from the part and the plan
    Add(part);
  }
  void Add(const InputSizes& value) {
    const auto& [only, multiple] = value;
    Add(only);
    Add(multiple);
  }
  void Add(const InputPlan& plan) {
    const auto& [resize, resize_size, interpolation, crop, height, width, exact_height, exact_width,
                 apply_exif, scaled_decode, background, scales, flip, grey, min_side, sizes,
                 scale] = plan;
    Add(resize);
    Add(resize_size);
    Add(interpolation);
    Add(crop);
    Add(height);
    Add(width);
    Add(exact_height);
    Add(exact_width);
    Add(apply_exif);
    Add(scaled_decode);
    Add(background);
    Add(scales);
    Add(flip);
    Add(grey);
    Add(min_side);
    Add(sizes);
    Add(scale);
  }
  void Add(const PostProcessing& post) {
    const auto& [l2_normalized, projection, dimensions, encoding] = post;
    Add(l2_normalized);
    Add(projection == nullptr ? std::string_view() : std::string_view(projection->name));
    Add(dimensions);
    Add(encoding);
  }
  void Add(const HeadSource& source) {
    const auto& [map, prefix_tokens, vector] = source;
    Add(map);
    Add(prefix_tokens);
    Add(vector);
  }
  void Add(const HeadSpec& head) {
    // The id is the request's own. The space id follows from the rest, and from the model, whose
    // classes and vectors have the counts.
    const auto& [type, id, layer, layer_index, vector, vector_dimensions, source, params, post,
                 pooling, canonical, space_id, class_count, filter_index, output_channels,
                 given_indices, token_index] = head;
    Add(type->name);
    Add(layer);
    Add(layer_index);
    Add(vector);
    Add(source);
    Add(params);
    Add(post);
    Add(canonical);
    Add(filter_index);
    Add(given_indices);
    Add(token_index);
  }
  void Add(const RegionPooling& pooling) {
    const auto& [kind, height, width, sampling_ratio, aligned] = pooling;
    Add(kind);
    Add(height);
    Add(width);
    Add(sampling_ratio);
    Add(aligned);
  }

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// What a request says of its input and its heads is read once, where it is planned: what comes of
// it is in the plan, in whether damaged pictures are refused, and in the validated heads. A member
// that is added has to get into these, and its name here.
[[maybe_unused]] void SettledWhenPlanned(const InputOptions& options, const HeadRequest& head) {
  [[maybe_unused]] const auto& [resize, crop, height, width, resize_size, apply_exif, scaled_decode,
                                background, scales, flip, refuse_damaged] = options;
  [[maybe_unused]] const auto& [id, kind, layer, params, l2_normalized, projection, dimensions,
                                encoding] = head;
}

}  // namespace

AnswerKeys::AnswerKeys(const RequestWork& work, bool shared) {
  // Passes and drawing follow from plan and heads.
  const auto& [request, done, plan, passes, region_pooling, draws, keeps_pictures, refuse_damaged,
               images, result, admitted, remaining] = work;
  const auto& [owner, model, version, pictures, heads, input, region_options, context, loaded] =
      request;
  KeyText settings;
  settings.Add(shared ? std::string_view() : std::string_view(context->caller()));
  settings.Add(result.model->number);
  settings.Add(plan);
  settings.Add(refuse_damaged);
  settings.Add(*result.heads);
  settings_ = settings.text();

  const auto& [mode, pooling, output_size, sampling_ratio, aligned, include_image] = region_options;
  KeyText regions;
  regions.Add(mode);
  regions.Add(region_pooling);  // settled from the others
  regions.Add(include_image);
  regions_ = regions.text();

  KeyText line;
  line.Add(context->caller());
  line.Add(context->priority());
  line_ = line.text();
}

AnswerKey AnswerKeys::Of(const ImageState& image) const {
  const auto& [encoded, raw, raw_width, raw_height, is_raw, regions, invalid] = *image.source;
  KeyText key;
  key.Add(settings_);
  key.Add(is_raw);
  if (is_raw) {
    key.Add(raw_width);
    key.Add(raw_height);
  }
  key.Add(Sha256Of(is_raw ? raw : encoded));
  key.Add(regions.size());
  if (!regions.empty()) {
    // Their ids are the request's own, their edges settled in one of these.
    key.Add(regions_);
    key.Add(image.regions);
    key.Add(image.crops);
  }
  const Sha256Digest answer = Sha256Of(key.text());
  KeyText flight;
  flight.Add(answer);
  flight.Add(line_);
  return {answer, Sha256Of(flight.text())};
}

}  // namespace pixpool
