// Numbers as the shortest text that reads back as the same number, whatever the locale.
#pragma once

#include <cstdint>
#include <string>

namespace pixpool {

std::string ShortestText(int64_t value);
std::string ShortestText(double value);

// Of a double that travels as float32: the shortest text of that. A value beyond float32's range,
// which only an error message can hold, keeps its double's text, which says more than "inf".
std::string FloatText(double value);

}  // namespace pixpool
