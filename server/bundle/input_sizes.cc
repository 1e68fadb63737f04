#include "server/bundle/input_sizes.h"

#include <algorithm>

#include "server/base/text.h"

namespace pixpool {

bool InputSizes::Takes(int height, int width) const {
  if (multiple > 1 && (height % multiple != 0 || width % multiple != 0)) return false;
  return only.empty() ||
         std::find(only.begin(), only.end(), std::pair(height, width)) != only.end();
}

std::pair<int, int> InputSizes::Another(int height, int width) const {
  const std::pair own(height, width);
  if (only.empty()) return {height + (33 + multiple - 1) / multiple * multiple, width};
  const auto other = std::find_if(only.begin(), only.end(), [&](auto size) { return size != own; });
  return other == only.end() ? own : *other;
}

std::string InputSizes::Text() const {
  if (only.empty()) {
    return multiple > 1 ? Concat("multiples of ", multiple, " pixels a side") : "any size";
  }
  std::string text;
  for (size_t i = 0; i < only.size(); ++i) {
    const std::string_view between = i == 0 ? "" : i + 1 == only.size() ? " or " : ", ";
    text += Concat(between, only[i].first, " x ", only[i].second);
  }
  return Concat(text, only.size() == 1 ? " pixels alone" : " pixels");
}

}  // namespace pixpool
