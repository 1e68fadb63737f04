// The buckets of the histograms. Internal to server/metrics.
#pragma once

#include <vector>

namespace pixpool {

using Buckets = std::vector<double>;

// Thresholds of alerts must be among these.
inline const Buckets& SecondsBuckets() {
  static const Buckets* const buckets = new Buckets{
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1, 2.5, 5, 10};
  return *buckets;
}
inline const Buckets& LoadSecondsBuckets() {
  static const Buckets* const buckets = new Buckets{0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120};
  return *buckets;
}
inline const Buckets& BatchBuckets() {
  static const Buckets* const buckets = new Buckets{1, 2, 4, 8, 16, 32, 64, 128};
  return *buckets;
}
inline const Buckets& BytesBuckets() {
  static const Buckets* const buckets = new Buckets{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10,
                                                    1 << 20, 4 << 20, 16 << 20, 64 << 20};
  return *buckets;
}
inline const Buckets& PixelsBuckets() {
  static const Buckets* const buckets =
      new Buckets{1e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 2.5e7, 5e7, 1e8, 2.5e8};
  return *buckets;
}

}  // namespace pixpool
