// bundle_head: a trained head that the bundle brings, computed by the network's graph.
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "server/base/text.h"
#include "server/heads/kind.h"
#include "server/heads/vectors.h"

namespace pixpool {
namespace {

bool Fits(const HeadScope& scope) {
  return std::any_of(scope.vectors.begin(), scope.vectors.end(),
                     [](const VectorInfo& vector) { return vector.name != kEmbedding; });
}

absl::Status Check(HeadSpec& spec, const HeadScope& scope) {
  const std::string& name = spec.Text("name");
  if (name == kEmbedding) {  // one vector, one space
    return BadParameter(spec, "name",
                        Concat("'", name, "' is the model's own; ask for the head embedding"));
  }
  if (UseVector(name, scope, spec)) return absl::OkStatus();
  return BadParameter(spec, "name", NoVectorText(name, scope));
}

HeadTensors Compute(const HeadSpec&, const HeadInput& input) { return {.values = input.vector}; }

}  // namespace

HeadType BundleHeadHead() {
  ParamSpec name = Text("name", "name of the trained head", /*in_space=*/true);
  name.required = true;
  return {
      .description = "A trained head of the bundle, such as attention pooling or NetVLAD.",
      .use = "pooling that was learnt with the network or after it",
      .shape = "D",
      .output = HeadOutputKind::kVector,
      .reads = HeadReads::kVector,
      .params = {name},
      .fits = Fits,
      .check = Check,
      .value_count = OnePerChannel,
      .compute = Compute,
      .cost = "each value of the vector once",
  };
}

}  // namespace pixpool
