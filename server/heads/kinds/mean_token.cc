// mean_token: the mean over all tokens of a transformer's block.
#include <ATen/core/Tensor.h>
#include <ATen/ops/sum.h>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec&, const HeadInput& input) {
  const at::Tensor& mean = input.shared.Mean();
  if (!input.prefix_tokens.defined()) return {.values = mean};
  const int64_t cells = input.map().size(2) * input.map().size(3);
  const int64_t tokens = cells + input.prefix_tokens.size(1);
  return {.values = mean.mul(cells).add_(input.prefix_tokens.sum(1)).div_(tokens)};
}

}  // namespace

HeadType MeanTokenHead() {
  return {
      .description = "Mean over all tokens of a transformer's block, those before the map's too.",
      .use = "transformers whose own pooling counts the class token; on a map alone, global_avg",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .reads = HeadReads::kTokens,
      .value_count = OnePerChannel,
      .compute = Compute,
  };
}

}  // namespace pixpool
