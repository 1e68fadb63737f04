// Arithmetic of pooling windows, as torch 2.13 does it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

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

// An error of a parameter, with its field ("max_pool.padding").
absl::Status WindowError(const HeadSpec& spec, std::string_view param, std::string_view what);

// The columns of max_pool, avg_pool and conv_pool in the head table.
absl::Status CheckWindow(HeadSpec& spec, const HeadScope& scope);
absl::Status CheckWindowOnMap(const HeadSpec& spec, int64_t h, int64_t w);
int64_t WindowValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);
double WindowOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

// unpool.cc: the columns of max_unpool.
absl::Status CheckUnpool(HeadSpec& spec, const HeadScope& scope);
absl::Status CheckUnpoolOnMap(const HeadSpec& spec, int64_t h, int64_t w);
int64_t UnpoolValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

// Height and width of what max_unpool gives for a map of this size: output_size, or torch's
// default. With given_indices the map holds pooled values, else it is pooled first.
std::vector<int64_t> UnpooledSize(const HeadSpec& spec, int64_t h, int64_t w);

// conv_filter.cc: the check of conv_pool, which finds its filter, and its columns.
absl::Status CheckConvPool(HeadSpec& spec, const HeadScope& scope);
int64_t ConvPoolValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);
double ConvPoolOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

}  // namespace pixpool
