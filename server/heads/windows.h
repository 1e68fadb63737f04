// Arithmetic of pooling windows, as torch 2.13 does it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "server/heads/heads.h"

namespace pixpool {

// One axis of a pooling window.
struct WindowAxis {
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t dilation = 1;
  bool ceil_mode = false;

  // Number of windows over an axis of this length; below 1 where no window fits.
  int64_t OutputSize(int64_t input) const;

  // Whether each of those windows holds at least one position of the input. A dilated kernel can
  // step over a short axis, landing in the padding with every element.
  bool AllWindowsTouch(int64_t input) const;
};

// The window of a head that has one; axis 0 is the height. What the head does not have keeps its
// default.
WindowAxis WindowOf(const HeadSpec& spec, int axis);

inline constexpr std::string_view kWindowCost = "every window's cells once";
inline constexpr std::array<std::string_view, 2> kAxisNames = {"height", "width"};

// Columns of the heads with windows in the table of heads: stride is the kernel where none is
// given, and padding is at most half of it.
absl::Status CheckWindow(HeadSpec& spec, const HeadScope& scope);
absl::Status CheckWindowOnMap(const HeadSpec& spec, int64_t h, int64_t w);
int64_t WindowValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);
double WindowOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

}  // namespace pixpool
