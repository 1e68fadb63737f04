#include "server/heads/grid.h"

namespace pixpool {

double GridReads(int64_t c, int64_t h, int64_t w, int64_t rows, int64_t columns) {
  return static_cast<double>(c) * static_cast<double>(h + rows) * static_cast<double>(w + columns);
}

int64_t GridValueCount(const HeadSpec& spec, int64_t c, int64_t, int64_t) {
  const std::vector<int64_t>& size = spec.Ints("output_size");
  return c * size[0] * size[1] * (spec.ReturnsIndices() ? 2 : 1);
}

double GridOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  const std::vector<int64_t>& size = spec.Ints("output_size");
  return GridReads(c, h, w, size[0], size[1]);
}

}  // namespace pixpool
