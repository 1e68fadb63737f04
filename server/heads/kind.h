// What a file of server/heads/kinds is written with: the row of its head, the parameters' types,
// and the tensor arithmetic that several heads share.
//
// A head is one file there: `HeadType GemHead()` for the field `Gem gem` of the proto's oneof
// `kind`. The build finds it by that name; the table has the order of the proto.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <string_view>

#include "absl/status/status.h"
#include "server/heads/head_compute.h"
#include "server/heads/heads.h"

namespace pixpool {

// Few operations and few copies of the map: each costs more than its arithmetic, since the backbone
// has just emptied the caches. Peaks are taken out of sums so that no power overflows; an infinite
// peak counts as the largest number, and infinities then go through as torch's rules have it.
inline constexpr double kLargest = std::numeric_limits<float>::max();

// Bounds of windows, grids and sizes, in cells.
inline constexpr double kMaxWindow = 1024;
inline constexpr double kMaxSide = 65'536;

// Parameters. `help` is one line without a full stop; range and default are added to it.
ParamSpec Flag(std::string_view name, std::string_view help, std::string_view default_value,
               bool in_space = true);
ParamSpec Int(std::string_view name, std::string_view help, std::string_view default_value,
              double min, double max, bool in_space = true);
// A float above 0, at most `max`; and one of at least `min`.
ParamSpec Positive(std::string_view name, std::string_view help, std::string_view default_value,
                   double max);
ParamSpec AtLeast(std::string_view name, std::string_view help, std::string_view default_value,
                  double min, double max, bool max_open = false);
// One whole number for both axes, or height and width.
ParamSpec Sides(std::string_view name, std::string_view help, std::string_view default_value,
                double min, double max, bool required = false);
// A list of whole numbers from 1 to `max`.
ParamSpec Levels(std::string_view name, std::string_view help, std::string_view default_value,
                 double max, size_t max_entries);
ParamSpec Enum(std::string_view name, std::string_view help, std::string_view default_value,
               std::string_view values, bool in_space = true);
ParamSpec Text(std::string_view name, std::string_view help, bool in_space);
// A parameter without a default of its own; `rule` says what stands in for it.
ParamSpec Derived(ParamSpec param, std::string_view rule);

// HEAD_INVALID of a parameter, with its field ("max_pool.padding").
absl::Status BadParameter(const HeadSpec& spec, std::string_view param, std::string_view what);

// Output sizes on a map [c, h, w].
int64_t OnePerChannel(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);
int64_t TwoPerChannel(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);
int64_t WholeMap(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

// The mean of each channel, [N, C], and a vector [N, C] made to spread over a map [N, C, H, W].
at::Tensor MapMean(const at::Tensor& map);
at::Tensor SpreadOverMap(const at::Tensor& vector);

}  // namespace pixpool
