// The order of a graph's outputs: a map for each layer, then the prefix tokens of each layer that
// has any, then the vectors (docs/bundle.md).
#pragma once

#include <string>

#include "absl/types/span.h"
#include "server/bundle/manifest.h"

namespace pixpool {

enum class GraphOutputKind { kMap, kPrefixTokens, kVector };

// What an output is.
struct GraphOutput {
  GraphOutputKind kind = GraphOutputKind::kMap;
  int index = 0;  // of the layer, or of the vector
};

// Positions of outputs, from 0. A view of layers and vectors.
class GraphOutputs {
 public:
  GraphOutputs(absl::Span<const LayerInfo> layers, absl::Span<const VectorInfo> vectors)
      : layers_(layers), vectors_(vectors) {}

  int count() const;
  // Where a layer's prefix tokens are; -1 where it has none. Its map has the layer's own position.
  int PrefixTokens(int layer) const;
  int Vector(int vector) const;

  // What is at a position below count().
  GraphOutput At(int position) const;

  // For messages: "layer 'block3'", "the prefix tokens of layer 'block3'", "vector 'embedding'".
  std::string Name(int position) const;
  // For messages: "3 layers", or "maps of 3 layers, prefix tokens of 1 and 2 vectors".
  std::string Text() const;

 private:
  // Layers with prefix tokens among the first so many.
  int WithTokens(int layers) const;

  const absl::Span<const LayerInfo> layers_;
  const absl::Span<const VectorInfo> vectors_;
};

}  // namespace pixpool
