#include "client/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pixpool::bench {
namespace {

// Time is counted in units of 1024 ns: far below the noise of a network, and it saves ten doublings
// of buckets.
constexpr int kUnitBits = 10;
constexpr int kSubBits = 8;
constexpr int64_t kSub = 1 << kSubBits;
constexpr int64_t kMaxNs = int64_t{3600} * 1000 * 1000 * 1000;

// Values below 2 * kSub have a bucket each; above, the top kSubBits + 1 bits choose it.
size_t IndexOf(int64_t ns) {
  const uint64_t units = static_cast<uint64_t>(ns) >> kUnitBits;
  const int shift = std::max(0, static_cast<int>(std::bit_width(units)) - kSubBits - 1);
  return static_cast<size_t>(shift) * kSub + static_cast<size_t>(units >> shift);
}

int64_t LowerOf(size_t index) {
  const size_t shift = index < 2 * kSub ? 0 : index / kSub - 1;
  const uint64_t units = (index - shift * kSub) << shift;
  return static_cast<int64_t>(units << kUnitBits);
}

}  // namespace

Histogram::Histogram() = default;

void Histogram::Add(int64_t ns) {
  ns = std::clamp<int64_t>(ns, 0, kMaxNs);
  const size_t index = IndexOf(ns);
  if (index >= counts_.size()) counts_.resize(index + 1);
  ++counts_[index];
  min_ = count_ == 0 ? ns : std::min(min_, ns);
  max_ = std::max(max_, ns);
  sum_ += static_cast<double>(ns);
  ++count_;
}

void Histogram::Merge(const Histogram& other) {
  if (other.count_ == 0) return;
  if (other.counts_.size() > counts_.size()) counts_.resize(other.counts_.size());
  for (size_t i = 0; i < other.counts_.size(); ++i) counts_[i] += other.counts_[i];
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
  count_ += other.count_;
}

double Histogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

int64_t Histogram::Quantile(double quantile) const {
  if (count_ == 0) return 0;
  // The small subtrahend keeps 0.99 * 100 at 99, which binary fractions make 99.00000000000001.
  const double exact = std::ceil(quantile * static_cast<double>(count_) - 1e-9);
  const uint64_t rank =
      std::clamp<uint64_t>(static_cast<uint64_t>(std::max(exact, 1.0)), 1, count_);
  if (rank == 1) return min_;
  if (rank == count_) return max_;
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen < rank) continue;
    const int64_t middle = (LowerOf(i) + LowerOf(i + 1)) / 2;
    return std::clamp(middle, min_, max_);
  }
  return max_;
}

std::vector<Histogram::Bucket> Histogram::Buckets() const {
  std::vector<Bucket> buckets;
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] > 0) buckets.push_back({LowerOf(i), LowerOf(i + 1), counts_[i]});
  }
  return buckets;
}

}  // namespace pixpool::bench
