// Counts of times in buckets whose width grows with the time.
#pragma once

#include <cstdint>
#include <vector>

namespace pixpool::bench {

// A histogram of durations with a bounded relative error, as HDR histograms have it: 256 buckets of
// equal width for each doubling, so that a percentile is within 0.4 % of the exact one wherever it
// lies, in memory that does not grow with the number of values. Smallest and largest value and the
// sum are exact. Not thread-safe.
class Histogram {
 public:
  Histogram();

  // Nanoseconds; negative ones count as 0, those above an hour as an hour.
  void Add(int64_t ns);
  void Merge(const Histogram& other);

  uint64_t count() const { return count_; }
  // Nanoseconds; 0 of an empty histogram.
  int64_t min() const { return count_ == 0 ? 0 : min_; }
  int64_t max() const { return max_; }
  double mean() const;
  // The value of rank ceil(quantile * count), quantile from 0 to 1: the least time that at least
  // this share of the values does not exceed. Nanoseconds; 0 of an empty histogram.
  int64_t Quantile(double quantile) const;

  // The buckets that hold something, upwards. Bounds in nanoseconds, `upper` just outside.
  struct Bucket {
    int64_t lower;
    int64_t upper;
    uint64_t count;
  };
  std::vector<Bucket> Buckets() const;

 private:
  // Grows to the highest bucket in use: most histograms of a timeline need few.
  std::vector<uint32_t> counts_;
  uint64_t count_ = 0;
  double sum_ = 0;
  int64_t min_ = 0;
  int64_t max_ = 0;
};

}  // namespace pixpool::bench
