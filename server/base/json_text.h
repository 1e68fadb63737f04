#pragma once

#include <string>
#include <string_view>

namespace pixpool {

// Appends `text` to `out` as a JSON string with its quotes. Whatever the bytes, the result is valid
// JSON and valid UTF-8 on one line: control characters are escaped, bytes that are not UTF-8 become
// U+FFFD.
void AppendJsonString(std::string* out, std::string_view text);

}  // namespace pixpool
