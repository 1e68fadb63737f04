// embedding: what the model's authors return.
#include <ATen/core/Tensor.h>

#include "server/base/error.h"
#include "server/base/text.h"
#include "server/heads/kind.h"
#include "server/heads/vectors.h"

namespace pixpool {
namespace {

bool Fits(const HeadScope& scope) { return HasVector(kEmbedding, scope); }

absl::Status Check(HeadSpec& spec, const HeadScope& scope) {
  if (UseVector(kEmbedding, scope, spec)) return absl::OkStatus();
  return MakeError({.reason = ErrorReason::kHeadInvalid, .field = std::string(spec.kind())},
                   Concat(NoVectorText(kEmbedding, scope), "; export the model again to have it"));
}

HeadTensors Compute(const HeadSpec&, const HeadInput& input) { return {.values = input.vector}; }

}  // namespace

HeadType EmbeddingHead() {
  return {
      .description = "The model's own embedding: what the call of its authors returns.",
      .use = "the vector that the model was trained to give, at one size of input",
      .shape = "D",
      .output = HeadOutputKind::kVector,
      .reads = HeadReads::kVector,
      .fits = Fits,
      .check = Check,
      .value_count = OnePerChannel,
      .compute = Compute,
      .cost = "each value of the vector once",
  };
}

}  // namespace pixpool
