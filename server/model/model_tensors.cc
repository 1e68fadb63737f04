#include "server/model/model_tensors.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "server/base/status_macros.h"
#include "server/bundle/bundle_data.h"

namespace pixpool {
namespace {

absl::StatusOr<at::Tensor> ReadTensor(const Bundle& bundle, const std::string& path,
                                      const std::vector<int64_t>& shape,
                                      const std::string& device) {
  const int64_t count =
      std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  PIXPOOL_ASSIGN_OR_RETURN(std::vector<float> values,
                           ReadFloats(bundle, path, static_cast<size_t>(count)));
  // Copied, because from_blob only borrows.
  return at::from_blob(values.data(), shape, at::TensorOptions(at::kFloat))
      .clone()
      .to(c10::Device(device));
}

absl::StatusOr<ClassifierTensors> LoadClassifier(const Bundle& bundle, const std::string& device) {
  const ClassifierInfo& info = bundle.manifest.classifier;
  const int64_t channels = info.vector.empty()
                               ? bundle.manifest.FindLayer(info.layer)->channels
                               : bundle.manifest.FindVector(info.vector)->dimensions;
  ClassifierTensors tensors;
  PIXPOOL_ASSIGN_OR_RETURN(
      tensors.weight, ReadTensor(bundle, info.weight_path, {info.class_count, channels}, device));
  PIXPOOL_ASSIGN_OR_RETURN(tensors.bias,
                           ReadTensor(bundle, info.bias_path, {info.class_count}, device));
  return tensors;
}

absl::StatusOr<FilterTensors> LoadFilter(const Bundle& bundle, const FilterInfo& info,
                                         const std::string& device) {
  const int64_t channels = bundle.manifest.FindLayer(info.layer)->channels;
  FilterTensors tensors{.groups = info.groups};
  PIXPOOL_ASSIGN_OR_RETURN(tensors.weight, ReadTensor(bundle, info.weight_path,
                                                      {info.output_channels, channels / info.groups,
                                                       info.kernel_size[0], info.kernel_size[1]},
                                                      device));
  if (!info.bias_path.empty()) {
    PIXPOOL_ASSIGN_OR_RETURN(tensors.bias,
                             ReadTensor(bundle, info.bias_path, {info.output_channels}, device));
  }
  return tensors;
}

}  // namespace

absl::StatusOr<ModelTensors> LoadModelTensors(const Bundle& bundle, const std::string& device) {
  ModelTensors tensors;
  if (bundle.manifest.has_classifier) {
    PIXPOOL_ASSIGN_OR_RETURN(tensors.classifier, LoadClassifier(bundle, device));
  }
  for (const FilterInfo& info : bundle.manifest.filters) {
    PIXPOOL_ASSIGN_OR_RETURN(FilterTensors filter, LoadFilter(bundle, info, device));
    tensors.filters.push_back(std::move(filter));
  }
  return tensors;
}

}  // namespace pixpool
