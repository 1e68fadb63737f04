#include "server/heads/pool_tensor.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/heads/head_compute.h"
#include "server/heads/unpool.h"
#include "server/torch/torch_env.h"

namespace pixpool {
namespace {

absl::Status Invalid(std::string_view field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = std::string(field)}, message);
}

absl::Status CheckIndices(const HeadSpec& head, const MapsView& maps) {
  if (maps.indices.size() != maps.values.size()) {
    return Invalid("indices", Concat("there are ", maps.indices.size(), " indices for ",
                                     maps.values.size(), " values; max_unpool needs one each"));
  }
  const std::vector<int64_t> size = UnpooledSize(head, maps.h, maps.w);
  const int64_t cells = size[0] * size[1];
  const auto outside = std::find_if(maps.indices.begin(), maps.indices.end(),
                                    [&](int64_t i) { return i < 0 || i >= cells; });
  if (outside == maps.indices.end()) return absl::OkStatus();
  const auto position = outside - maps.indices.begin();
  return Invalid(Concat("indices[", position, "]"),
                 Concat("index ", *outside, " at ", position, " lies outside the output plane of ",
                        size[0], " x ", size[1], ", whose indices are 0 to ", cells - 1));
}

// Which maps have negative values.
std::vector<bool> HaveNegatives(const MapsView& maps) {
  const auto size = static_cast<size_t>(maps.c * maps.h * maps.w);
  std::vector<bool> negative(static_cast<size_t>(maps.n));
  for (size_t n = 0; n < negative.size(); ++n) {
    const absl::Span<const float> map = maps.values.subspan(n * size, size);
    negative[n] = std::any_of(map.begin(), map.end(), [](float value) { return value < 0; });
  }
  return negative;
}

}  // namespace

HeadScope TensorScope(const LayerInfo& layer, bool given_indices) {
  return {
      .layers = absl::MakeConstSpan(&layer, 1), .given_indices = given_indices, .has_model = false};
}

absl::StatusOr<std::vector<std::vector<HeadOutput>>> PoolMaps(absl::Span<const HeadSpec> heads,
                                                              const MapsView& maps) {
  if (maps.n < 1 || maps.c < 1 || maps.h < 1 || maps.w < 1 ||
      static_cast<int64_t>(maps.values.size()) != maps.n * maps.c * maps.h * maps.w) {
    return Invalid("tensor.values",
                   "the map's values are not as many as its shape says, or it has none");
  }
  // Maps are small; threads that wait for each other would cost more than they bring.
  thread_local const bool one_thread = (SetTorchThreads(1), true);
  static_cast<void>(one_thread);
  // from_blob takes a mutable pointer, but no head writes to its input.
  const std::array<int64_t, 4> shape = {maps.n, maps.c, maps.h, maps.w};
  const at::Tensor tensor =
      at::from_blob(const_cast<float*>(maps.values.data()), shape, at::TensorOptions(at::kFloat));
  MapStatistics shared(tensor);
  at::Tensor indices;
  std::vector<bool> negative;  // filled in where a head needs to know
  std::vector<std::vector<HeadOutput>> results(static_cast<size_t>(maps.n));
  for (size_t i = 0; i < heads.size(); ++i) {
    const HeadSpec& head = heads[i];
    const std::string prefix = Concat("heads[", i, "]");
    if (head.type->reads != HeadReads::kMap || head.filter_index >= 0) {
      return PrependField(
          MakeError({.reason = ErrorReason::kHeadInvalid, .field = std::string(head.kind())},
                    Concat(head.kind(), kNeedsModel)),
          prefix);
    }
    if (absl::Status status = CheckHeadOnMap(head, maps.h, maps.w); !status.ok()) {
      return PrependField(status, prefix);
    }
    if (head.given_indices) {
      PIXPOOL_RETURN_IF_ERROR(CheckIndices(head, maps));
      indices = at::from_blob(const_cast<int64_t*>(maps.indices.data()), shape,
                              at::TensorOptions(at::kLong));
    }
    PIXPOOL_ASSIGN_OR_RETURN(
        const HeadTensors tensors,
        ComputeHead(head, {.shared = shared, .indices = indices.defined() ? &indices : nullptr}));
    const std::string warning = NegativesWarning(head, "the map");
    if (!warning.empty() && negative.empty()) negative = HaveNegatives(maps);
    for (size_t n = 0; n < results.size(); ++n) {
      HeadOutput output = TakeRow(head, tensors, static_cast<int64_t>(n));
      if (!warning.empty() && negative[n]) output.warnings.push_back(warning);
      FinishPass(head.post, output.values);
      FinishHead(head, output);
      results[n].push_back(std::move(output));
    }
  }
  return results;
}

}  // namespace pixpool
