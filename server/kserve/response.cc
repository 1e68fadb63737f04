#include "server/kserve/response.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/number_text.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/kserve/tensor_bytes.h"
#include "server/rpc/extract_convert.h"

namespace pixpool::kserve {
namespace {

using OutputTensor = inference::ModelInferResponse::InferOutputTensor;

static_assert(std::endian::native == std::endian::little, "tensors travel in little-endian order");

// What the rows of an output are.
enum class Rows { kImages, kRegions };

// One head over all images, or over all of their regions.
struct Column {
  const HeadSpec& head;
  Rows rows;
  std::vector<HeadOutput*> outputs;
};

bool IsPng(const HeadOutput& output) { return !output.png.empty(); }

void SetText(OutputTensor* tensor, const char* name, std::string value) {
  (*tensor->mutable_parameters())[name].set_string_param(std::move(value));
}

// The type of a head's values and the shape of one image's.
struct TensorType {
  const char* datatype;
  std::vector<int64_t> shape;
  bool operator==(const TensorType&) const = default;
};

TensorType TypeOf(const HeadSpec& head, const HeadOutput& output) {
  if (head.output() == HeadOutputKind::kScores) {
    return {"BYTES", {static_cast<int64_t>(output.scores.size())}};
  }
  if (IsPng(output)) return {"BYTES", {}};
  switch (head.post.encoding) {
    case Encoding::kFloat16:
      return {"FP16", output.shape};
    case Encoding::kBinary:
      return {"UINT8", {static_cast<int64_t>(output.packed.size())}};
    default:
      return {"FP32", output.shape};
  }
}

void AppendValues(const HeadSpec& head, const std::vector<std::string>& labels,
                  const HeadOutput& output, std::string* raw) {
  if (head.output() == HeadOutputKind::kScores) {
    for (const ClassScore& score : output.scores) AppendBytes(ClassText(score, labels), raw);
  } else if (IsPng(output)) {
    AppendBytes(output.png, raw);
  } else if (!output.packed.empty()) {
    raw->append(output.packed);
  } else {
    raw->append(reinterpret_cast<const char*>(output.values.data()),
                output.values.size() * sizeof(float));
  }
}

std::string BoxText(const Region& box) {
  return absl::StrJoin({box.left, box.top, box.right(), box.bottom()}, ",");
}

void AddOnce(const std::string& text, std::vector<std::string>* texts) {
  if (std::find(texts->begin(), texts->end(), text) == texts->end()) texts->push_back(text);
}

void SetParameters(const Column& column, const std::vector<std::string>& labels,
                   OutputTensor* tensor) {
  SetText(tensor, "space_id", column.head.space_id);
  SetText(tensor, "kind", std::string(column.head.kind()));
  SetText(tensor, "layer", column.head.layer);
  std::vector<std::string> warnings, classes, boxes;
  for (const HeadOutput* output : column.outputs) {
    for (const std::string& warning : output->warnings) AddOnce(warning, &warnings);
    if (column.head.output() != HeadOutputKind::kActivationMap) continue;
    if (!output->scores.empty()) classes.push_back(ClassText(output->scores[0], labels));
    boxes.push_back(BoxText(output->box));
  }
  if (!warnings.empty()) SetText(tensor, "warnings", absl::StrJoin(warnings, "; "));
  if (!classes.empty()) SetText(tensor, "classes", absl::StrJoin(classes, ";"));
  if (!boxes.empty()) SetText(tensor, "boxes", absl::StrJoin(boxes, ";"));
}

// What to do where the maps of one output differ in size.
std::string DifferentSizes(const std::string& field, const std::string& name, Rows rows) {
  const bool regions = rows == Rows::kRegions;
  return Concat(field, ": the maps of ", name, " differ in size between the ",
                regions ? "regions" : "images", ", and one tensor holds one size; send one ",
                regions ? "region" : "image", " per request, or ask for crop \"center\"");
}

// `h` is the head's place in the request.
absl::Status AddOutput(size_t h, const std::string& name, const Column& column,
                       const std::vector<std::string>& labels, inference::ModelInferResponse* out) {
  OutputTensor* const tensor = out->add_outputs();
  std::string* const raw = out->add_raw_output_contents();
  const TensorType type = TypeOf(column.head, *column.outputs[0]);
  for (const HeadOutput* output : column.outputs) {
    if (TypeOf(column.head, *output) != type) {
      const std::string field = Concat("outputs[", h, "]");
      return MakeError({.reason = ErrorReason::kRequestInvalid, .field = field},
                       DifferentSizes(field, name, column.rows));
    }
    AppendValues(column.head, labels, *output, raw);
  }
  tensor->set_name(name);
  tensor->set_datatype(type.datatype);
  tensor->add_shape(static_cast<int64_t>(column.outputs.size()));
  tensor->mutable_shape()->Add(type.shape.begin(), type.shape.end());
  SetParameters(column, labels, tensor);
  return absl::OkStatus();
}

void SetTimes(const ExtractResult& result, inference::ModelInferResponse* out) {
  const StageDurations times = LongestTimes(result);
  for (int s = 0; s < static_cast<int>(Stage::kConvert); ++s) {
    const auto us =
        std::chrono::duration_cast<std::chrono::microseconds>(times[static_cast<size_t>(s)]);
    const std::string name = Concat(StageName(static_cast<Stage>(s)), "_us");
    (*out->mutable_parameters())[name].set_int64_param(us.count());
  }
}

// How many images had their answers from the response cache.
void SetCached(const ExtractResult& result, inference::ModelInferResponse* out) {
  const auto cached = std::count_if(result.images.begin(), result.images.end(),
                                    [](const ImageFeatures& image) { return image.cached; });
  if (cached > 0) (*out->mutable_parameters())["cached_images"].set_int64_param(cached);
}

// What there is to say of the pictures: what is damaged in their files, hidden colours.
void SetWarnings(const ExtractResult& result, inference::ModelInferResponse* out) {
  std::vector<std::string> warnings;
  for (size_t i = 0; i < result.images.size(); ++i) {
    for (const std::string& warning : result.images[i].warnings) {
      warnings.push_back(Concat("images[", i, "]: ", warning));
    }
  }
  if (warnings.empty()) return;
  (*out->mutable_parameters())["warnings"].set_string_param(absl::StrJoin(warnings, "; "));
}

// The error of one image as that of the request: clients of this protocol show the message alone,
// which therefore begins with the image, or with what is wrong with it.
absl::Status ImageError(size_t index, const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  if (!details) return status;
  const std::string image = Concat("images[", index, "]");
  const bool within = absl::StartsWith(details->field, image);
  return MakeError(*details,
                   Concat(within ? details->field : image, ": ", ToStd(status.message())));
}

bool HasRegions(const ExtractResult& result) {
  return std::any_of(result.images.begin(), result.images.end(),
                     [](const ImageFeatures& image) { return !image.regions.empty(); });
}

// Whether every image has results as a whole: with include_image, or where none has regions.
bool HasAllImages(const ExtractResult& result) {
  return std::none_of(result.images.begin(), result.images.end(),
                      [](const ImageFeatures& image) { return image.outputs.empty(); });
}

// The results of one head, by what has them.
Column ImagesColumn(ExtractResult& result, size_t h) {
  Column column = {.head = (*result.heads)[h], .rows = Rows::kImages, .outputs = {}};
  for (ImageFeatures& image : result.images) column.outputs.push_back(&image.outputs[h]);
  return column;
}

Column RegionsColumn(ExtractResult& result, size_t h) {
  const std::vector<HeadSpec>& heads = *(result.region_heads ? result.region_heads : result.heads);
  Column column = {.head = heads[h], .rows = Rows::kRegions, .outputs = {}};
  for (ImageFeatures& image : result.images) {
    for (RegionFeatures& region : image.regions) column.outputs.push_back(&region.outputs[h]);
  }
  return column;
}

// The edges that the heads were applied to.
void SetRegionEdges(const ExtractResult& result, inference::ModelInferResponse* out) {
  std::vector<std::string> edges;
  for (const ImageFeatures& image : result.images) {
    for (const RegionFeatures& region : image.regions) {
      const RegionF& box = region.box;
      edges.push_back(absl::StrJoin(
          {FloatText(box.left), FloatText(box.top), FloatText(box.right), FloatText(box.bottom)},
          ","));
    }
  }
  (*out->mutable_parameters())["regions"].set_string_param(absl::StrJoin(edges, ";"));
}

}  // namespace

std::string ClassText(const ClassScore& score, const std::vector<std::string>& labels) {
  const size_t index = static_cast<size_t>(score.class_index);
  return absl::StrFormat("%f:%d:%s", score.score, score.class_index,
                         index < labels.size() ? labels[index] : "");
}

absl::Status InferResponseFromResult(const inference::ModelInferRequest& request,
                                     ExtractResult&& result, inference::ModelInferResponse* out) {
  for (size_t i = 0; i < result.images.size(); ++i) {
    if (!result.images[i].status.ok()) return ImageError(i, result.images[i].status);
  }
  const ModelInfo& info = result.model->info();
  const auto name = [&](size_t h) {
    return request.outputs_size() > 0 ? request.outputs(static_cast<int>(h)).name()
                                      : std::string((*result.heads)[h].kind());
  };
  const bool regions = HasRegions(result);
  for (size_t h = 0; h < result.heads->size(); ++h) {
    const Column column = regions ? RegionsColumn(result, h) : ImagesColumn(result, h);
    PIXPOOL_RETURN_IF_ERROR(AddOutput(h, name(h), column, info.labels, out));
  }
  for (size_t h = 0; regions && HasAllImages(result) && h < result.heads->size(); ++h) {
    PIXPOOL_RETURN_IF_ERROR(
        AddOutput(h, "image/" + name(h), ImagesColumn(result, h), info.labels, out));
  }
  if (regions) SetRegionEdges(result, out);
  out->set_model_name(info.name);
  out->set_model_version(info.version);
  out->set_id(request.id());
  SetTimes(result, out);
  SetCached(result, out);
  SetWarnings(result, out);
  return absl::OkStatus();
}

}  // namespace pixpool::kserve
