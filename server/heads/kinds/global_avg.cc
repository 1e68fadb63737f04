// global_avg: the mean over the whole map.
#include <ATen/core/Tensor.h>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec&, const HeadInput& input) {
  return {.values = input.shared.Mean()};
}

}  // namespace

HeadType GlobalAvgHead() {
  return {
      .description = "Mean over the whole map: global average pooling.",
      .use = "the whole image: background, extent; what the classifier was trained with",
      .reference = "Lin, Chen, Yan, \"Network in Network\", 2013",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .value_count = OnePerChannel,
      .compute = Compute,
  };
}

}  // namespace pixpool
