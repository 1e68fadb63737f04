// How long work takes, learned from the work itself. Internal to server/pipeline.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace pixpool {

// Seconds of one piece of work of a kind (decoding; a pass of a model; pooling a tensor) as a
// function of its size (pixels, bytes): a moving average for each power of two, so that what is
// constant, linear or neither needs no model. A size that was not seen yet takes the nearest one's
// average in proportion. Nothing seen: 0, so that nobody is refused on a guess. Thread-safe.
class ServiceTimes {
 public:
  // `kind` tells kinds apart and is not looked into.
  void Observe(const void* kind, int64_t size, double seconds);
  double Predict(const void* kind, int64_t size) const;
  void Forget(const void* kind);

 private:
  static constexpr int kBuckets = 64;
  struct Average {
    double seconds = 0;
    int count = 0;
  };
  using Averages = std::array<Average, kBuckets>;

  mutable absl::Mutex mu_;
  std::map<const void*, Averages> averages_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
