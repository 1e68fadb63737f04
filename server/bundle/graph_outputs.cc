#include "server/bundle/graph_outputs.h"

#include "server/base/text.h"

namespace pixpool {

int GraphOutputs::count() const { return Vector(static_cast<int>(vectors_.size())); }

int GraphOutputs::PrefixTokens(int layer) const {
  if (layers_[static_cast<size_t>(layer)].prefix_tokens == 0) return -1;
  return static_cast<int>(layers_.size()) + WithTokens(layer);
}

int GraphOutputs::Vector(int vector) const {
  const auto layers = static_cast<int>(layers_.size());
  return layers + WithTokens(layers) + vector;
}

GraphOutput GraphOutputs::At(int position) const {
  const auto layers = static_cast<int>(layers_.size());
  if (position < layers) return {GraphOutputKind::kMap, position};
  if (position >= Vector(0)) return {GraphOutputKind::kVector, position - Vector(0)};
  int layer = 0;
  while (PrefixTokens(layer) != position) ++layer;
  return {GraphOutputKind::kPrefixTokens, layer};
}

std::string GraphOutputs::Name(int position) const {
  const GraphOutput output = At(position);
  const auto index = static_cast<size_t>(output.index);
  if (output.kind == GraphOutputKind::kVector) return Concat("vector '", vectors_[index].name, "'");
  return Concat(output.kind == GraphOutputKind::kMap ? "" : "the prefix tokens of ", "layer '",
                layers_[index].name, "'");
}

std::string GraphOutputs::Text() const {
  const int tokens = WithTokens(static_cast<int>(layers_.size()));
  if (tokens == 0 && vectors_.empty()) return Concat(layers_.size(), " layers");
  return Concat("maps of ", layers_.size(), " layers, prefix tokens of ", tokens, " and ",
                vectors_.size(), vectors_.size() == 1 ? " vector" : " vectors");
}

int GraphOutputs::WithTokens(int layers) const {
  int count = 0;
  for (const LayerInfo& layer : layers_.first(static_cast<size_t>(layers))) {
    count += layer.prefix_tokens > 0 ? 1 : 0;
  }
  return count;
}

}  // namespace pixpool
