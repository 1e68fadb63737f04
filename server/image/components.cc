#include "server/image/components.h"

#include <algorithm>
#include <utility>

namespace pixpool {

Component LargestComponent(absl::Span<const uint8_t> mask, int height, int width) {
  std::vector<bool> seen(mask.size());
  Component largest;
  for (int first = 0; first < static_cast<int>(mask.size()); ++first) {
    if (mask[first] == 0 || seen[first]) continue;
    // The list of cells is the queue of the search, too.
    std::vector<int> cells = {first};
    seen[first] = true;
    for (size_t i = 0; i < cells.size(); ++i) {
      const int y = cells[i] / width;
      const int x = cells[i] % width;
      for (int ny = std::max(y - 1, 0); ny <= std::min(y + 1, height - 1); ++ny) {
        for (int nx = std::max(x - 1, 0); nx <= std::min(x + 1, width - 1); ++nx) {
          const int cell = ny * width + nx;
          if (mask[cell] == 0 || seen[cell]) continue;
          seen[cell] = true;
          cells.push_back(cell);
        }
      }
    }
    if (cells.size() > largest.cells.size()) largest.cells = std::move(cells);
  }
  return largest;
}

}  // namespace pixpool
