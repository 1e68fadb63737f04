// class_scores: what the classifier says, at any input size.
#include <ATen/core/Tensor.h>
#include <ATen/ops/softmax.h>

#include <algorithm>

#include "server/heads/classifier.h"
#include "server/heads/kind.h"

namespace pixpool {
namespace {

bool Fits(const HeadScope& scope) { return scope.class_count > 0; }

int64_t ValueCount(const HeadSpec& spec, int64_t, int64_t, int64_t) {
  const int64_t top_k = spec.Int("top_k");
  return top_k == 0 ? spec.class_count : std::min<int64_t>(top_k, spec.class_count);
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  at::Tensor scores = ClassifierLogits(input);
  if (spec.Enum("score_type") == "softmax") scores = scores.softmax(1);
  return {.values = scores};
}

}  // namespace

HeadType ClassScoresHead() {
  return {
      .description = "Scores of the model's classifier, for any input size.",
      .use = "labels, at any input size",
      .reference = "Lin, Chen, Yan, \"Network in Network\", 2013",
      .shape = "K",
      .output = HeadOutputKind::kScores,
      .reads = HeadReads::kClassifier,
      .params = {Int("top_k", "number of highest scores; 0 gives all in class order", "5", 0,
                     100'000, /*in_space=*/false),
                 Enum("score_type", "what the scores are", "softmax", "softmax|logits")},
      .fits = Fits,
      .value_count = ValueCount,
      .compute = Compute,
  };
}

}  // namespace pixpool
