#include "server/image/xmp.h"

#include <cstddef>

namespace pixpool {

std::optional<int> ReadXmpOrientation(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at)) {
    at += kName.size();
    std::string_view rest = xmp.substr(at, 3);
    if (rest.substr(0, 2) == "=\"") {
      rest.remove_prefix(2);
    } else if (rest.substr(0, 1) == ">") {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (rest.empty() || rest[0] < '0' || rest[0] > '9') continue;
    const int digit = rest[0] - '0';
    return digit >= 1 && digit <= 8 ? digit : 1;
  }
  return std::nullopt;
}

}  // namespace pixpool
