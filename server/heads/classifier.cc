#include "server/heads/classifier.h"

#include <ATen/ops/linear.h>

namespace pixpool {

at::Tensor ClassifierLogits(const HeadInput& input) {
  // A linear layer over the mean is the mean of the 1x1 convolution, at a fraction of the work.
  const ClassifierTensors& classifier = *input.model->classifier;
  return at::linear(input.shared.Mean(), classifier.weight, classifier.bias);
}

}  // namespace pixpool
