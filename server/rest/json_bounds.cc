#include "server/rest/json_bounds.h"

namespace pixpool::rest {
namespace {

// Where the text that begins with a quote at `at` ends; npos: nowhere.
size_t EndOfText(std::string_view text, size_t at) {
  for (size_t end = text.find('"', at + 1); end != text.npos; end = text.find('"', end + 1)) {
    size_t first = end;  // of the backslashes before it
    while (text[first - 1] == '\\') --first;
    if ((end - first) % 2 == 0) return end;
  }
  return text.npos;
}

}  // namespace

bool WithinJsonBounds(std::string_view text, size_t most_values, size_t most_depth) {
  size_t values = 1;
  size_t depth = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    switch (text[at]) {
      case '"':
        at = EndOfText(text, at);
        if (at == text.npos) return true;
        break;
      case '[':
      case '{':
        if (++depth > most_depth || ++values > most_values) return false;
        break;
      case ']':
      case '}':
        if (depth > 0) --depth;
        break;
      case ',':
      case ':':
        if (++values > most_values) return false;
        break;
      default:
        break;
    }
  }
  return true;
}

}  // namespace pixpool::rest
