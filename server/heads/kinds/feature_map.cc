// feature_map: the map itself.
#include <ATen/core/Tensor.h>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec&, const HeadInput& input) { return {.values = input.map()}; }

}  // namespace

HeadType FeatureMapHead() {
  return {
      .description = "The map itself.",
      .use = "the raw map, for pooling of your own",
      .shape = "C x H x W",
      .output = HeadOutputKind::kMap,
      .value_count = WholeMap,
      .compute = Compute,
  };
}

}  // namespace pixpool
