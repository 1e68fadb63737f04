// mean_map: the mean over the channels of a layer, as a map or drawn.
#include <ATen/core/Tensor.h>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

int64_t ValueCount(const HeadSpec& spec, int64_t, int64_t h, int64_t w) {
  return spec.Enum("format") == "floats" ? h * w : 0;
}

HeadTensors Compute(const HeadSpec&, const HeadInput& input) {
  return {.values = input.map().mean(1)};
}

}  // namespace

HeadType MeanMapHead() {
  return {
      .description = "Mean over the channels of a layer; of attention, where a transformer looks.",
      .use = "where a layer responds, and with `layer=attention` where a transformer looks",
      .reference =
          "of attention: Caron et al., \"Emerging Properties in Self-Supervised Vision "
          "Transformers\", 2021",
      .shape = "H x W, or a PNG",
      .output = HeadOutputKind::kActivationMap,
      .params = {Enum("format", "form of the map", "floats", "floats|png|png_overlay",
                      /*in_space=*/false)},
      .value_count = ValueCount,
      .compute = Compute,
  };
}

}  // namespace pixpool
