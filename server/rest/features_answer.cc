#include "server/rest/features_answer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/rest/json_writer.h"

namespace pixpool::rest {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are sent as they lie in memory");

constexpr size_t kBytesOfNumber = 13;  // of its text, with a comma

void WriteWarnings(const std::vector<std::string>& warnings, JsonWriter* json) {
  if (warnings.empty()) return;
  json->Key("warnings").Begin('[');
  for (const std::string& warning : warnings) json->Text(warning);
  json->End(']');
}

void WriteScore(const ClassScore& score, const std::vector<std::string>& labels, JsonWriter* json) {
  json->Begin('{').Key("class_index").Number(score.class_index);
  const auto index = static_cast<size_t>(score.class_index);
  if (index < labels.size()) json->Key("label").Text(labels[index]);
  json->Key("score").Number(score.score).End('}');
}

// The names are those of HeadResult in the API.
void WriteHead(const HeadSpec& head, const std::vector<std::string>& labels,
               const HeadOutput& output, JsonWriter* json) {
  json->Begin('{').Key("head_id").Text(head.id).Key("kind").Text(head.kind());
  if (!head.layer.empty()) json->Key("layer").Text(head.layer);
  json->Key("space_id").Text(head.space_id);
  json->Key("shape").Numbers(output.shape);
  if (!output.values.empty()) json->Key("values").Numbers(output.values);
  if (!output.packed.empty()) {
    json->Key("encoding").Text(EncodingName(head.post.encoding));
    json->Key("packed_values").Text(absl::Base64Escape(output.packed));
    if (head.post.encoding == Encoding::kInt8) json->Key("scale").Number(output.scale);
  }
  if (!output.indices.empty()) json->Key("indices").Numbers(output.indices);
  if (head.output() == HeadOutputKind::kActivationMap) {
    json->Key("activation_map").Begin('{');
    if (!output.scores.empty()) {
      json->Key("class_score");
      WriteScore(output.scores[0], labels, json);
    }
    const Region& box = output.box;
    json->Key("box").Numbers(std::array{box.left, box.top, box.right(), box.bottom()});
    if (!output.png.empty()) json->Key("png").Text(absl::Base64Escape(output.png));
    json->End('}');
  } else if (!output.scores.empty()) {
    json->Key("class_scores").Begin('[');
    for (const ClassScore& score : output.scores) WriteScore(score, labels, json);
    json->End(']');
  }
  WriteWarnings(output.warnings, json);
  json->End('}');
}

void WriteHeads(const std::vector<HeadSpec>& heads, const std::vector<std::string>& labels,
                std::vector<HeadOutput>* outputs, JsonWriter* json) {
  json->Key("head_results").Begin('[');
  for (size_t i = 0; i < outputs->size(); ++i) {
    // Its numbers go as their text comes.
    const HeadOutput output = std::move((*outputs)[i]);
    WriteHead(heads[i], labels, output, json);
  }
  json->End(']');
}

void WriteImage(const ExtractResult& result, ImageFeatures* image, JsonWriter* json) {
  const std::vector<std::string>& labels = result.model->info().labels;
  if (!image->outputs.empty()) WriteHeads(*result.heads, labels, &image->outputs, json);
  if (!image->regions.empty()) {
    json->Key("regions").Begin('[');
    for (RegionFeatures& region : image->regions) {
      const RegionF& box = region.box;
      json->Begin('{').Key("box");
      json->Numbers(std::array{box.left, box.top, box.right, box.bottom});
      WriteHeads(result.region_heads ? *result.region_heads : *result.heads, labels,
                 &region.outputs, json);
      json->End('}');
    }
    json->End(']');
  }
  json->Key("width_px").Number(image->picture.width);
  json->Key("height_px").Number(image->picture.height);
  if (image->cached) json->Key("cached").Json("true");
  WriteWarnings(image->warnings, json);
}

size_t NumbersOf(const ExtractResult& result) {
  size_t numbers = 0;
  for (const ImageFeatures& image : result.images) {
    for (const HeadOutput& output : image.outputs) numbers += output.values.size();
  }
  return numbers;
}

Answer JsonAnswer(const std::vector<std::string>& names, ExtractResult* result) {
  JsonWriter json;
  json.Reserve(kBytesOfNumber * NumbersOf(*result) + 4096);
  const ModelInfo& info = result->model->info();
  json.Begin('{').Key("model").Begin('{').Key("name").Text(info.name);
  json.Key("version").Text(info.version).End('}').Key("results").Begin('[');
  for (size_t i = 0; i < result->images.size(); ++i) {
    json.Begin('{').Key("index").Number(i);
    if (i < names.size() && !names[i].empty()) json.Key("image").Text(names[i]);
    ImageFeatures& image = result->images[i];
    if (image.status.ok()) {
      WriteImage(*result, &image, &json);
    } else {
      json.Key("error").Json(ProblemJson(image.status));
    }
    json.End('}');
  }
  Answer answer;
  answer.body = json.End(']').End('}').Take() + "\n";
  return answer;
}

absl::Status NoTensor(std::string_view why) {
  return MakeError(
      {.reason = ErrorReason::kHeadInvalid, .field = "head"},
      Concat("an answer that is no JSON holds one tensor: ", why, "; accept application/json"));
}

// The one output of a picture.
absl::StatusOr<const HeadOutput*> TensorOf(const HeadSpec& head, const ImageFeatures& image) {
  PIXPOOL_RETURN_IF_ERROR(image.status);
  if (!image.regions.empty()) return NoTensor("regions have several");
  const HeadOutput& output = image.outputs[0];
  if (!output.indices.empty()) return NoTensor("values with indices are two");
  if (output.values.empty() && output.packed.empty()) {
    return NoTensor(Concat(head.kind(), " gives none"));
  }
  if (head.post.encoding == Encoding::kInt8) return NoTensor("int8 has a scale for each vector");
  return &output;
}

// The header of version 1.0 of NumPy's format, which ends at a multiple of 64 bytes.
std::string NpyHeader(std::string_view type, const std::vector<int64_t>& shape) {
  std::string text = Concat("{'descr': '", type, "', 'fortran_order': False, 'shape': (",
                            absl::StrJoin(shape, ", "), shape.size() == 1 ? ",), }" : "), }");
  constexpr size_t kBefore = 10;
  constexpr size_t kMultiple = 64;
  text.append(kMultiple - 1 - (kBefore + text.size()) % kMultiple, ' ');
  text += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(text.size() & 0xFF);
  out += static_cast<char>(text.size() >> 8);
  return out + text;
}

std::string_view NpyType(Encoding encoding) {
  switch (encoding) {
    case Encoding::kFloat16:
      return "<f2";
    case Encoding::kBinary:
      return "|u1";
    default:
      return "<f4";
  }
}

absl::StatusOr<Answer> TensorAnswer(Format format, const ExtractResult& result) {
  if (result.heads->size() != 1) return NoTensor(Concat(result.heads->size(), " heads give more"));
  const HeadSpec& head = result.heads->front();
  PIXPOOL_ASSIGN_OR_RETURN(const HeadOutput* first, TensorOf(head, result.images[0]));
  std::vector<int64_t> shape = first->shape;
  if (head.post.encoding == Encoding::kBinary) {
    shape = {static_cast<int64_t>(first->packed.size())};
  }
  shape.insert(shape.begin(), static_cast<int64_t>(result.images.size()));
  Answer answer{.type = "application/octet-stream"};
  if (format == Format::kNpy) {
    answer.type = "application/x-npy";
    answer.body = NpyHeader(NpyType(head.post.encoding), shape);
  }
  for (const ImageFeatures& image : result.images) {
    PIXPOOL_ASSIGN_OR_RETURN(const HeadOutput* output, TensorOf(head, image));
    if (output->shape != first->shape) return NoTensor("the pictures' maps differ in size");
    answer.body.append(reinterpret_cast<const char*>(output->values.data()),
                       output->values.size() * sizeof(float));
    answer.body += output->packed;
  }
  answer.fields.emplace_back("Pixpool-Shape", absl::StrJoin(shape, ","));
  answer.fields.emplace_back("Pixpool-Encoding", EncodingName(head.post.encoding));
  answer.fields.emplace_back("Pixpool-Space-Id", head.space_id);
  answer.fields.emplace_back("Pixpool-Model", result.model->info().name);
  return answer;
}

}  // namespace

absl::StatusOr<Answer> FeaturesAnswer(Format format, const std::vector<std::string>& names,
                                      ExtractResult* result) {
  const auto failed = [](const ImageFeatures& image) { return !image.status.ok(); };
  if (std::all_of(result->images.begin(), result->images.end(), failed)) {
    return result->images[0].status;
  }
  if (format == Format::kJson) return JsonAnswer(names, result);
  return TensorAnswer(format, *result);
}

}  // namespace pixpool::rest
