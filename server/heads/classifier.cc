#include "server/heads/classifier.h"

#include <ATen/ops/linear.h>

namespace pixpool {

at::Tensor ClassifierLogits(const HeadInput& input) {
  // A linear layer over the mean is the mean of the 1x1 convolution, at a fraction of the work.
  const ClassifierTensors& classifier = *input.model->classifier;
  const at::Tensor& features = input.vector.defined() ? input.vector : input.shared.Mean();
  return at::linear(features, classifier.weight, classifier.bias);
}

}  // namespace pixpool
