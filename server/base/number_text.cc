#include "server/base/number_text.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace pixpool {
namespace {

template <typename Number>
std::string Shortest(Number value) {
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

}  // namespace

std::string ShortestText(int64_t value) { return Shortest(value); }

std::string ShortestText(double value) { return Shortest(value); }

std::string FloatText(double value) {
  using Limits = std::numeric_limits<float>;
  const double size = std::fabs(value);
  const bool narrow = size <= Limits::max() && (size == 0 || size >= Limits::min());
  return narrow ? Shortest(static_cast<float>(value)) : Shortest(value);
}

}  // namespace pixpool
