// global_max: the maximum over the whole map.
#include <ATen/core/Tensor.h>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec&, const HeadInput& input) {
  return {.values = input.shared.Max()};
}

}  // namespace

HeadType GlobalMaxHead() {
  return {
      .description = "Maximum over the whole map (MAC).",
      .use = "the strongest response: texture or one salient part, wherever it is",
      .reference = "Tolias, Sicre, Jegou, 2015",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .value_count = OnePerChannel,
      .compute = Compute,
  };
}

}  // namespace pixpool
