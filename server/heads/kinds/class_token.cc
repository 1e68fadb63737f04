// class_token: one of the tokens that a transformer carries beside those of the picture.
#include <ATen/core/Tensor.h>

#include <algorithm>

#include "server/base/error.h"
#include "server/base/text.h"
#include "server/heads/kind.h"

namespace pixpool {
namespace {

bool Fits(const HeadScope& scope) {
  return std::any_of(scope.layers.begin(), scope.layers.end(),
                     [](const LayerInfo& layer) { return layer.prefix_tokens > 0; });
}

// The layers that have a class token, for the advice of an error.
std::string LayersWithOne(const HeadScope& scope) {
  std::string names;
  for (const LayerInfo& layer : scope.layers) {
    if (layer.class_token) names += Concat(names.empty() ? "" : ", ", layer.name);
  }
  return names.empty() ? "no layer of the model has one" : Concat("those that have one: ", names);
}

absl::Status Check(HeadSpec& spec, const HeadScope& scope) {
  const LayerInfo& layer = scope.layers[static_cast<size_t>(spec.layer_index)];
  spec.source.map = -1;
  const int64_t before = layer.class_token ? 1 : 0;
  const int64_t registers = layer.prefix_tokens - before;
  if (spec.Has("register")) {
    const int64_t number = spec.Int("register");
    spec.token_index = before + number - 1;
    if (number <= registers) return absl::OkStatus();
    return BadParameter(spec, "register",
                        registers == 0
                            ? Concat("is ", number, "; layer '", layer.name, "' has no registers")
                            : Concat("is ", number, "; the registers of layer '", layer.name,
                                     "' are 1 to ", registers));
  }
  if (layer.class_token) return absl::OkStatus();
  if (registers > 0) {
    return BadParameter(spec, "register",
                        Concat("must be set, 1 to ", registers, ": layer '", layer.name,
                               "' has registers, but no class token"));
  }
  return MakeError({.reason = ErrorReason::kHeadInvalid, .field = "layer"},
                   Concat("layer '", layer.name, "' has no class token; ", LayersWithOne(scope)));
}

double Operations(const HeadSpec&, int64_t c, int64_t, int64_t) { return static_cast<double>(c); }

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  return {.values = input.prefix_tokens.select(1, spec.token_index)};
}

}  // namespace

HeadType ClassTokenHead() {
  return {
      .description = "The class token of a transformer's block, or one of its registers.",
      .use = "transformers: the picture as one vector, at any block",
      .reference = "Dosovitskiy et al., \"An Image is Worth 16x16 Words\", 2021",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .reads = HeadReads::kTokens,
      .params = {Derived(Int("register",
                             "register in place of the class token, counted after it, or from the "
                             "first prefix token where there is no class token",
                             "", 1, 1024),
                         "the class token")},
      .fits = Fits,
      .check = Check,
      .value_count = OnePerChannel,
      .compute = Compute,
      .operations = Operations,
      .cost = "each value of the token once",
  };
}

}  // namespace pixpool
