// Heads that read the model's classifier.
#include <ATen/core/Tensor.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/softmax.h>

#include "server/heads/head_compute.h"
#include "server/heads/head_ops.h"

namespace pixpool {
namespace {

// A linear layer over the mean is the mean of the 1x1 convolution, at a fraction of the work.
at::Tensor Logits(const HeadInput& input) {
  const ClassifierTensors& classifier = *input.model->classifier;
  return at::linear(input.shared.Mean(), classifier.weight, classifier.bias);
}

}  // namespace

HeadTensors ComputeClassScores(const HeadSpec& spec, const HeadInput& input) {
  at::Tensor scores = Logits(input);
  if (spec.Enum("score_type") == "softmax") scores = scores.softmax(1);
  return {.values = scores};
}

HeadTensors ComputeClassActivationMap(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map();
  const at::Tensor probabilities = Logits(input).softmax(1);
  const at::Tensor classes =
      spec.Has("class_index")
          ? at::full({map.size(0)}, spec.Int("class_index"), map.options().dtype(at::kLong))
          : probabilities.argmax(1);
  const at::Tensor weights = input.model->classifier->weight.index_select(0, classes);
  const at::Tensor evidence = at::bmm(weights.unsqueeze(1), map.flatten(2));
  return {.values = evidence.view({map.size(0), map.size(2), map.size(3)}),
          .classes = classes,
          .probabilities = probabilities.gather(1, classes.unsqueeze(1)).squeeze(1)};
}

}  // namespace pixpool
