#include "server/heads/unpool.h"

#include <array>
#include <cstdlib>

#include "server/base/text.h"
#include "server/heads/kind.h"
#include "server/heads/windows.h"

namespace pixpool {
namespace {

// Cells of an axis that hold pooled values.
int64_t PooledSide(const HeadSpec& spec, int axis, int64_t side) {
  return spec.given_indices ? side : WindowOf(spec, axis).OutputSize(side);
}

int64_t DefaultSide(const HeadSpec& spec, int axis, int64_t pooled) {
  const WindowAxis window = WindowOf(spec, axis);
  return (pooled - 1) * window.stride - 2 * window.padding + window.kernel;
}

}  // namespace

std::vector<int64_t> UnpooledSize(const HeadSpec& spec, int64_t h, int64_t w) {
  if (spec.Has("output_size")) return spec.Ints("output_size");
  return {DefaultSide(spec, 0, PooledSide(spec, 0, h)),
          DefaultSide(spec, 1, PooledSide(spec, 1, w))};
}

absl::Status CheckUnpool(HeadSpec& spec, const HeadScope& scope) {
  spec.given_indices = scope.given_indices;
  return CheckWindow(spec, scope);
}

absl::Status CheckUnpoolOnMap(const HeadSpec& spec, int64_t h, int64_t w) {
  if (!spec.given_indices) {
    if (absl::Status status = CheckWindowOnMap(spec, h, w); !status.ok()) return status;
  }
  const std::array<int64_t, 2> sides = {h, w};
  const std::vector<int64_t> size = UnpooledSize(spec, h, w);
  for (int axis = 0; axis < 2; ++axis) {
    const int64_t fallback = DefaultSide(spec, axis, PooledSide(spec, axis, sides[axis]));
    const int64_t stride = WindowOf(spec, axis).stride;
    if (size[axis] < 1 || std::abs(size[axis] - fallback) >= stride) {
      return BadParameter(spec, "output_size",
                          Concat("is ", size[axis], " in ", kAxisNames[axis],
                                 "; it must be at least 1 and less than one stride (", stride,
                                 ") from ", fallback, ", what kernel, stride and padding give"));
    }
    // Indices count in the plane that was pooled; in another one they would point elsewhere.
    if (!spec.given_indices && size[axis] != sides[axis]) {
      return BadParameter(
          spec, "output_size",
          Concat("the output's ", kAxisNames[axis], " would be ", size[axis], ", the map's is ",
                 sides[axis], "; give output_size ", h, "x", w, ", the size of the map"));
    }
  }
  return absl::OkStatus();
}

int64_t UnpoolValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  if (!CheckUnpoolOnMap(spec, h, w).ok()) return 0;
  const std::vector<int64_t> size = UnpooledSize(spec, h, w);
  return c * size[0] * size[1];
}

}  // namespace pixpool
