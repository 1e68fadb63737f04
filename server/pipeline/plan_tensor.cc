#include "server/pipeline/plan_tensor.h"

#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/heads/pool_tensor.h"
#include "server/pipeline/limits.h"

namespace pixpool {
namespace {

// What one head's result on one map takes besides its values. It counts: a tensor can hold millions
// of maps of one value.
constexpr double kBytesPerResult = 256;

absl::Status Invalid(std::string_view field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = std::string(field)}, message);
}

absl::Status CheckShape(const PoolRequest& request) {
  const std::vector<int64_t>& shape = request.shape;
  if (shape.size() != 4) {
    return Invalid("tensor.shape", Concat("tensor.shape has ", shape.size(),
                                          " extents; feature maps have four: N, C, H, W"));
  }
  // What is left of the number of values, so that no product can overflow.
  int64_t rest = static_cast<int64_t>(request.values.size());
  bool fits = true;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 1 || shape[i] > INT32_MAX) {
      return Invalid(Concat("tensor.shape[", i, "]"), Concat("tensor.shape[", i, "] is ", shape[i],
                                                             "; it must be 1 to ", INT32_MAX));
    }
    fits = fits && rest % shape[i] == 0;
    rest /= shape[i];
  }
  if (!fits || rest != 1) {
    return Invalid("tensor.values", Concat("tensor.values has ", request.values.size(),
                                           " values; the shape ", shape[0], " x ", shape[1], " x ",
                                           shape[2], " x ", shape[3], " needs another number"));
  }
  return absl::OkStatus();
}

absl::Status CheckHeads(const PipelineOptions& options, const PoolRequest& request) {
  if (request.heads.empty()) return Invalid("heads", "the request has no head; send at least one");
  PIXPOOL_RETURN_IF_ERROR(CheckHeadCount(options, request.heads.size()));
  for (size_t i = 0; i < request.heads.size(); ++i) {
    const HeadRequest& head = request.heads[i];
    if (!head.layer.empty()) {
      return MakeError(
          {.reason = ErrorReason::kHeadInvalid, .field = Concat("heads[", i, "].layer")},
          Concat("heads[", i, "].layer must be empty: a tensor has no layers"));
    }
    const HeadType* const type = FindHeadType(head.kind);
    if (!request.indices.empty() && (type == nullptr || !type->takes_indices)) {
      return Invalid("indices",
                     Concat("indices are for max_unpool alone; heads[", i, "] is ", head.kind));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<HeadSpec>> PlanTensor(const PipelineOptions& options,
                                                 const PoolRequest& request, AdmissionCost* cost) {
  PIXPOOL_RETURN_IF_ERROR(CheckShape(request));
  PIXPOOL_RETURN_IF_ERROR(CheckHeads(options, request));
  const std::vector<int64_t>& shape = request.shape;
  LayerInfo layer;
  layer.channels = static_cast<int>(shape[1]);
  const HeadScope scope = TensorScope(layer, !request.indices.empty());
  PIXPOOL_ASSIGN_OR_RETURN(std::vector<HeadSpec> heads, ValidateHeads(request.heads, scope));
  HeadCost head_cost;
  for (size_t i = 0; i < heads.size(); ++i) {
    if (absl::Status status = CheckHeadOnMap(heads[i], shape[2], shape[3]); !status.ok()) {
      return PrependField(status, Concat("heads[", i, "]"));
    }
    head_cost.Add(heads[i], {.c = shape[1], .h = shape[2], .w = shape[3]}, shape[0]);
    head_cost.response_bytes += kBytesPerResult * static_cast<double>(shape[0]);
  }
  PIXPOOL_RETURN_IF_ERROR(CheckHeadCost(options, head_cost));
  cost->bytes = static_cast<int64_t>(request.values.size() * sizeof(float) +
                                     request.indices.size() * sizeof(int64_t)) +
                static_cast<int64_t>(head_cost.response_bytes);
  return heads;
}

}  // namespace pixpool
