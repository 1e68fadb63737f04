#include "server/heads/regions.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace pixpool {
namespace {

constexpr int64_t kUnit = 1'000'000;  // of overlap; a float32 of 0.4 is then 2/5, as meant
constexpr int kMinSteps = 2;
constexpr int kMaxSteps = 7;

// How many regions more than on the shorter side lie along the longer one at each level: the number
// of steps whose overlap comes closest, the fewest where several do.
int64_t ExtraRegions(int64_t shorter, int64_t longer, double overlap) {
  if (longer == shorter) return 0;
  // With s steps, neighbours of side `shorter` overlap by 1 - (longer - shorter) / (shorter (s -
  // 1)). Its distance to `overlap`, times shorter * kUnit, is error / (s - 1).
  const int64_t wanted = kUnit - std::llround(overlap * kUnit);
  int64_t best_steps = 0;
  int64_t best_error = 0;
  for (int64_t steps = kMinSteps; steps <= kMaxSteps; ++steps) {
    const int64_t error = std::abs(wanted * shorter * (steps - 1) - kUnit * (longer - shorter));
    // error / (steps - 1) < best_error / (best_steps - 1), without division; far from overflow.
    const bool closer = error * (best_steps - 1) < best_error * (steps - 1);
    if (best_steps == 0 || closer) {
      best_steps = steps;
      best_error = error;
    }
  }
  return best_steps - 1;
}

// First cells of `count` regions spread evenly over an axis with room for the first to move.
std::vector<int64_t> Starts(int64_t count, int64_t room) {
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < count; ++i) starts.push_back(count == 1 ? 0 : i * room / (count - 1));
  return starts;
}

}  // namespace

std::vector<RmacLevel> RmacLevels(int64_t h, int64_t w, int64_t levels, double overlap) {
  const int64_t extra = ExtraRegions(std::min(h, w), std::max(h, w), overlap);
  std::vector<RmacLevel> result;
  for (int64_t level = 1; level <= levels; ++level) {
    const int64_t side = 2 * std::min(h, w) / (level + 1);
    if (side == 0) continue;
    result.push_back({side, Starts(level + (h > w ? extra : 0), h - side),
                      Starts(level + (w > h ? extra : 0), w - side)});
  }
  return result;
}

std::vector<Region> RmacRegions(int64_t h, int64_t w, int64_t levels, double overlap) {
  std::vector<Region> regions;
  for (const RmacLevel& level : RmacLevels(h, w, levels, overlap)) {
    for (const int64_t y : level.rows) {
      for (const int64_t x : level.columns) {
        const int side = static_cast<int>(level.side);
        regions.push_back({static_cast<int>(x), static_cast<int>(y), side, side});
      }
    }
  }
  return regions;
}

}  // namespace pixpool
