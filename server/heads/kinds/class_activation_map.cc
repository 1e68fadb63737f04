// class_activation_map: where the evidence for one class lies.
#include <ATen/core/Tensor.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/softmax.h>

#include "server/base/text.h"
#include "server/heads/classifier.h"
#include "server/heads/kind.h"

namespace pixpool {
namespace {

// Cells have a share in a score where the classifier stands on their average.
bool Fits(const HeadScope& scope) {
  return scope.class_count > 0 && !scope.classifier_layer.empty();
}

int64_t ValueCount(const HeadSpec& spec, int64_t, int64_t h, int64_t w) {
  return spec.Enum("format") == "floats" ? h * w : 0;
}

absl::Status Check(HeadSpec& spec, const HeadScope& scope) {
  if (!spec.Has("class_index") || spec.Int("class_index") < scope.class_count) {
    return absl::OkStatus();
  }
  return BadParameter(spec, "class_index",
                      Concat("is ", spec.Int("class_index"), "; the model has ", scope.class_count,
                             " classes, 0 to ", scope.class_count - 1));
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map();
  const at::Tensor probabilities = ClassifierLogits(input).softmax(1);
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

}  // namespace

HeadType ClassActivationMapHead() {
  return {
      .description = "Where on the picture the evidence for a class lies.",
      .use = "where the evidence for a class lies, as values or a drawn heatmap",
      .reference = "Zhou et al., \"Learning Deep Features for Discriminative Localization\", 2016",
      .shape = "H x W, or a PNG",
      .output = HeadOutputKind::kActivationMap,
      .reads = HeadReads::kClassifier,
      .params = {Derived(Int("class_index", "class, below the number of classes", "", 0, INT32_MAX),
                         "the best of each picture"),
                 Enum("format", "form of the map", "floats", "floats|png|png_overlay",
                      /*in_space=*/false)},
      .fits = Fits,
      .check = Check,
      .value_count = ValueCount,
      .compute = Compute,
  };
}

}  // namespace pixpool
