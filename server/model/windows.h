// Arithmetic of pooling windows, as torch 2.13 does it.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "server/model/heads.h"

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

// The window of a max_pool or avg_pool head; axis 0 is the height.
WindowAxis WindowOf(const HeadSpec& spec, int axis);

// The check, check_map and value_count of max_pool and avg_pool in the head table.
absl::Status CheckWindow(HeadSpec& spec);
absl::Status CheckWindowOnMap(const HeadSpec& spec, int64_t h, int64_t w);
int64_t WindowValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

}  // namespace pixpool
