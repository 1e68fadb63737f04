// spoc: weighted by a Gaussian around the middle of the map.
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

// exp(-d^2 / (2 sigma^2)) of each cell's distance from the middle of the map, [h, w].
at::Tensor GaussianWeights(int64_t h, int64_t w, double sigma) {
  at::Tensor weights = at::empty({h, w}, at::TensorOptions(at::kFloat));
  float* to = weights.mutable_data_ptr<float>();
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t x = 0; x < w; ++x) {
      const double dy = static_cast<double>(y) - static_cast<double>(h - 1) / 2;
      const double dx = static_cast<double>(x) - static_cast<double>(w - 1) / 2;
      *to++ = static_cast<float>(std::exp((dy * dy + dx * dx) / (-2 * sigma * sigma)));
    }
  }
  return weights;
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map();
  const int64_t h = map.size(2);
  const int64_t w = map.size(3);
  const double sigma =
      spec.Has("sigma") ? spec.Float("sigma") : static_cast<double>(std::min(h, w)) / 6;
  const at::Tensor weights = GaussianWeights(h, w, sigma).to(map.device());
  return {.values = map.mul(weights).sum({2, 3})};
}

}  // namespace

HeadType SpocHead() {
  return {
      .description = "Sum weighted by a Gaussian around the centre of the map.",
      .use = "images whose subject is in the middle",
      .reference =
          "Babenko, Lempitsky, \"Aggregating Deep Convolutional Features for Image Retrieval\", "
          "2015",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .params = {Derived(Positive("sigma", "standard deviation in cells of the map", "", 10'000),
                         "min(H, W) / 6")},
      .value_count = OnePerChannel,
      .compute = Compute,
  };
}

}  // namespace pixpool
