#pragma once

#include <cstddef>
#include <string_view>

namespace pixpool::rest {

// Whether a text of JSON has at most `most_values` values and names, in lists and objects that are
// at most `most_depth` deep: whoever makes values of it takes memory for each of them, however
// short it is. Says nothing of whether it is JSON.
bool WithinJsonBounds(std::string_view text, size_t most_values, size_t most_depth);

}  // namespace pixpool::rest
