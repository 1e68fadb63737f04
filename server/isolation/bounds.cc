#include "server/isolation/bounds.h"

#include <algorithm>

#include "server/base/memory.h"

namespace pixpool {
namespace {

// The least that a worker may take: tables, windows, buffers of libraries.
constexpr int64_t kBase = 64 << 20;
// Of what a picture is reckoned to take at the most.
constexpr int64_t kMargin = 4;
// Copies of the file that a codec makes to give its library a whole one.
constexpr int64_t kCopiesOfFile = 4;
// A progressive JPEG of a hundred scans takes some 0.3 us a pixel.
constexpr int64_t kPixelsPerMs = 1000;
// A worker gets its share of a busy machine only.
constexpr int kWallPerCpu = 6;

}  // namespace

WorkBounds BoundsOf(const PictureTask& task, int64_t input_pixels,
                    std::chrono::milliseconds patience) {
  const auto area = [](Size size) { return int64_t{size.width} * size.height; };
  int64_t pixels =
      std::max(area({task.header.width, task.header.height}), area(task.header.decoded));
  for (const Region& region : task.regions) {
    pixels += area({region.width, region.height}) * static_cast<int64_t>(task.plan.scales.size());
  }
  const auto file = static_cast<int64_t>(task.bytes.size());
  WorkBounds bounds;
  // What the heap keeps of earlier pictures counts as well.
  bounds.data_bytes = HeapKeeps() + kBase + kMargin * MostBytes(task) + kCopiesOfFile * file;
  bounds.cpu = patience + std::chrono::milliseconds((pixels + file + input_pixels) / kPixelsPerMs);
  bounds.wall = kWallPerCpu * bounds.cpu;
  return bounds;
}

}  // namespace pixpool
