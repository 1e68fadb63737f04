#include "server/pipeline/service_times.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pixpool {
namespace {

// Half of the weight is that of the last seven; the first few count alike, since the very first
// pass may have compiled something.
constexpr int kMost = 10;

int BucketOf(int64_t size) {
  return static_cast<int>(std::bit_width(static_cast<uint64_t>(std::max<int64_t>(size, 1)))) - 1;
}

}  // namespace

void ServiceTimes::Observe(const void* kind, int64_t size, double seconds) {
  absl::MutexLock lock(&mu_);
  Average& average = averages_[kind][static_cast<size_t>(BucketOf(size))];
  average.count = std::min(average.count + 1, kMost);
  average.seconds += (seconds - average.seconds) / average.count;
}

double ServiceTimes::Predict(const void* kind, int64_t size) const {
  absl::MutexLock lock(&mu_);
  const auto found = averages_.find(kind);
  if (found == averages_.end()) return 0;
  const int wanted = BucketOf(size);
  for (int away = 0; away < kBuckets; ++away) {
    for (const int bucket : {wanted - away, wanted + away}) {
      if (bucket < 0 || bucket >= kBuckets) continue;
      const Average& average = found->second[static_cast<size_t>(bucket)];
      if (average.count > 0) return std::ldexp(average.seconds, wanted - bucket);
    }
  }
  return 0;
}

void ServiceTimes::Forget(const void* kind) {
  absl::MutexLock lock(&mu_);
  averages_.erase(kind);
}

}  // namespace pixpool
