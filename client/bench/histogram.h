// Counts of times in buckets whose width grows with the time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace pixpool::bench {

// A histogram of durations with a bounded relative error, as HDR histograms have it, by
// Boost.Histogram on a logarithmic axis. A percentile is within 0.2 % of the exact one from a
// microsecond to an hour, and within half a microsecond below, in memory that does not grow with
// the number of values. Smallest and largest value and the sum are exact. Not thread-safe.
class Histogram {
 public:
  Histogram();
  ~Histogram();
  Histogram(const Histogram& other);
  Histogram& operator=(const Histogram& other);
  // What was moved from is empty.
  Histogram(Histogram&& other) noexcept;
  Histogram& operator=(Histogram&& other) noexcept;

  // Nanoseconds; negative ones count as 0, those above an hour as an hour.
  void Add(int64_t ns);
  void Merge(const Histogram& other);

  uint64_t count() const;
  // Nanoseconds; 0 of an empty histogram.
  int64_t min() const;
  int64_t max() const;
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
  struct Counts;
  // Null while empty, as most histograms of a short run's timeline stay.
  std::unique_ptr<Counts> counts_;
};

}  // namespace pixpool::bench
