#include "server/model/model.h"

#include <string>
#include <vector>

#include "server/base/sha256.h"
#include "server/base/text.h"
#include "server/bundle/graph_outputs.h"

namespace pixpool {
namespace {

constexpr size_t kSpaceIdLength = 32;

std::string Triple(const std::array<float, 3>& values) {
  std::string text;
  for (float value : values) {
    // Hexadecimal keeps every bit and needs no rounding rule.
    char buffer[48];
    std::snprintf(buffer, sizeof buffer, "%s%a", text.empty() ? "" : ",", double{value});
    text += buffer;
  }
  return text;
}

}  // namespace

HeadScope ModelInfo::Scope() const {
  return {.layers = layers,
          .default_layer = default_layer,
          .vectors = vectors,
          .classifier_layer = classifier_layer,
          .classifier_vector = classifier_vector,
          .class_count = class_count,
          .projections = projections,
          .filters = filters};
}

std::vector<int> ModelInfo::UsualOutputs() const {
  int layer = 0;
  while (layers[static_cast<size_t>(layer)].name != default_layer) ++layer;
  std::vector<int> usual = {layer};
  const GraphOutputs outputs(layers, vectors);
  const int tokens = outputs.PrefixTokens(layer);
  if (tokens < 0) return usual;
  usual.push_back(tokens);
  if (layer + 1 < static_cast<int>(layers.size())) return usual;
  for (size_t i = 0; i < vectors.size(); ++i) {
    if (vectors[i].name == kEmbedding) usual.push_back(outputs.Vector(static_cast<int>(i)));
  }
  return usual;
}

std::vector<std::string> ModelInfo::Warnings() const {
  std::string names;
  std::string any;  // of these layers; heads say the same of each
  for (const LayerInfo& layer : layers) {
    if (layer.non_negative) continue;
    names += Concat(names.empty() ? "'" : ", '", layer.name, "'");
    any = layer.name;
  }
  if (names.empty()) return {};
  std::string remarks;
  for (const HeadType& type : HeadTypes()) {
    if (type.negatives == nullptr) continue;
    const auto spec = ValidateHead({.kind = std::string(type.name), .layer = any}, Scope());
    const std::string what = spec.ok() ? type.negatives(*spec) : "";
    if (!what.empty()) remarks += Concat(remarks.empty() ? "" : ", ", type.name, " ", what);
  }
  return {Concat("negative activations are possible in layers ", names, ": ", remarks)};
}

std::string MakeSpaceId(const ModelInfo& info, std::string_view plan_canonical,
                        std::string_view head_canonical) {
  const std::string text =
      Concat("pixpool space 1\nweights=", info.weights_sha256, "\nmean=", Triple(info.input.mean),
             "\nstd=", Triple(info.input.std), "\nprecision=", info.precision,
             "\ninput=", plan_canonical, "\nhead=", head_canonical, "\n");
  return Sha256Hex(text).substr(0, kSpaceIdLength);
}

}  // namespace pixpool
