#include "server/kserve/response.h"

#include <bit>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/kserve/tensor_bytes.h"
#include "server/rpc/extract_convert.h"

namespace pixpool::kserve {
namespace {

using OutputTensor = inference::ModelInferResponse::InferOutputTensor;

static_assert(std::endian::native == std::endian::little, "tensors travel in little-endian order");

// One head over all images.
struct Column {
  const HeadSpec& head;
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

void SetParameters(const Column& column, const std::vector<std::string>& labels,
                   OutputTensor* tensor) {
  SetText(tensor, "space_id", column.head.space_id);
  SetText(tensor, "kind", std::string(column.head.kind()));
  SetText(tensor, "layer", column.head.layer);
  std::vector<std::string> warnings, classes, boxes;
  for (const HeadOutput* output : column.outputs) {
    warnings.insert(warnings.end(), output->warnings.begin(), output->warnings.end());
    if (column.head.output() != HeadOutputKind::kActivationMap) continue;
    classes.push_back(output->scores.empty() ? "" : ClassText(output->scores[0], labels));
    boxes.push_back(BoxText(output->box));
  }
  if (!warnings.empty()) SetText(tensor, "warnings", absl::StrJoin(warnings, "; "));
  if (classes.empty()) return;
  SetText(tensor, "classes", absl::StrJoin(classes, ";"));
  SetText(tensor, "boxes", absl::StrJoin(boxes, ";"));
}

absl::Status AddOutput(const std::string& name, const Column& column,
                       const std::vector<std::string>& labels, inference::ModelInferResponse* out) {
  OutputTensor* const tensor = out->add_outputs();
  std::string* const raw = out->add_raw_output_contents();
  const TensorType type = TypeOf(column.head, *column.outputs[0]);
  for (const HeadOutput* output : column.outputs) {
    if (TypeOf(column.head, *output) != type) {
      return MakeError({.reason = ErrorReason::kRequestInvalid, .field = "inputs[0]"},
                       Concat("inputs[0]: the maps of ", name,
                              " differ in size between the images, and one tensor holds one size; "
                              "send one image per request, or crop"));
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

// The error of one image as that of the request: clients of this protocol show the message alone.
absl::Status ImageError(size_t index, const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  if (!details) return status;
  return MakeError(*details, Concat("images[", index, "]: ", ToStd(status.message())));
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
  for (size_t h = 0; h < result.heads->size(); ++h) {
    Column column = {.head = (*result.heads)[h], .outputs = {}};
    for (ImageFeatures& image : result.images) column.outputs.push_back(&image.outputs[h]);
    const int i = static_cast<int>(h);
    const std::string name =
        request.outputs_size() > 0 ? request.outputs(i).name() : std::string(column.head.kind());
    PIXPOOL_RETURN_IF_ERROR(AddOutput(name, column, info.labels, out));
  }
  out->set_model_name(info.name);
  out->set_model_version(info.version);
  out->set_id(request.id());
  SetTimes(result, out);
  SetWarnings(result, out);
  return absl::OkStatus();
}

}  // namespace pixpool::kserve
