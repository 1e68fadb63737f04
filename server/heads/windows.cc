#include "server/heads/windows.h"

#include <algorithm>
#include <array>

#include "server/base/text.h"
#include "server/heads/kind.h"

namespace pixpool {
namespace {

int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0 ? 1 : 0); }

}  // namespace

int64_t WindowAxis::OutputSize(int64_t input) const {
  const int64_t room = input + 2 * padding - dilation * (kernel - 1) - 1;
  int64_t output = FloorDiv(room + (ceil_mode ? stride - 1 : 0), stride) + 1;
  // A window that would start in the right padding is dropped.
  if (ceil_mode && (output - 1) * stride >= input + padding) --output;
  return output;
}

bool WindowAxis::AllWindowsTouch(int64_t input) const {
  const int64_t outputs = OutputSize(input);
  for (int64_t o = 0; o < outputs; ++o) {
    int64_t position = o * stride - padding;
    if (position < 0) position += (-position + dilation - 1) / dilation * dilation;
    if (position >= input || position > o * stride - padding + dilation * (kernel - 1)) {
      return false;
    }
  }
  return true;
}

WindowAxis WindowOf(const HeadSpec& spec, int axis) {
  WindowAxis window;
  window.kernel = spec.Ints("kernel_size")[axis];
  window.stride = spec.Ints("stride")[axis];
  if (spec.Has("padding")) window.padding = spec.Ints("padding")[axis];
  if (spec.Has("dilation")) window.dilation = spec.Ints("dilation")[axis];
  if (spec.Has("ceil_mode")) window.ceil_mode = spec.Bool("ceil_mode");
  return window;
}

absl::Status CheckWindow(HeadSpec& spec, const HeadScope&) {
  if (!spec.Has("stride")) spec.params["stride"] = spec.Ints("kernel_size");
  for (int axis = 0; axis < 2; ++axis) {
    const WindowAxis window = WindowOf(spec, axis);
    if (window.padding > window.kernel / 2) {
      return BadParameter(spec, "padding",
                          Concat("is ", window.padding, " in ", kAxisNames[axis],
                                 "; it must be at most half the kernel, which is ", window.kernel));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWindowOnMap(const HeadSpec& spec, int64_t h, int64_t w) {
  const std::array<int64_t, 2> sides = {h, w};
  for (int axis = 0; axis < 2; ++axis) {
    const WindowAxis window = WindowOf(spec, axis);
    if (window.OutputSize(sides[axis]) < 1) {
      return BadParameter(
          spec, "kernel_size",
          Concat("a window of ", window.kernel, " with dilation ", window.dilation, " and padding ",
                 window.padding, " does not fit the map's ", kAxisNames[axis], " of ", sides[axis],
                 "; use a smaller kernel or a larger input"));
    }
  }
  return absl::OkStatus();
}

int64_t WindowValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  const int64_t oh = WindowOf(spec, 0).OutputSize(h);
  const int64_t ow = WindowOf(spec, 1).OutputSize(w);
  if (oh < 1 || ow < 1) return 0;
  return c * oh * ow * (spec.ReturnsIndices() ? 2 : 1);
}

double WindowOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  const std::array<int64_t, 2> sides = {h, w};
  double reads = static_cast<double>(c);
  for (int axis = 0; axis < 2; ++axis) {
    const WindowAxis window = WindowOf(spec, axis);
    const int64_t count = std::max<int64_t>(window.OutputSize(sides[axis]), 0);
    reads *= static_cast<double>(count) * static_cast<double>(std::min(window.kernel, sides[axis]));
  }
  return reads;
}

}  // namespace pixpool
