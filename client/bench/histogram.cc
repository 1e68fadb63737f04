#include "client/bench/histogram.h"

#include <algorithm>
#include <boost/histogram/axis/regular.hpp>
#include <boost/histogram/histogram.hpp>
#include <boost/histogram/indexed.hpp>
#include <boost/histogram/make_histogram.hpp>
#include <boost/histogram/unlimited_storage.hpp>
#include <cmath>
#include <tuple>

namespace pixpool::bench {
namespace {

namespace bh = boost::histogram;

// Shorter times share the bucket below the axis: they are far below the noise of a network.
constexpr double kLowNs = 1e3;
constexpr int64_t kMaxNs = int64_t{3600} * 1000 * 1000 * 1000;
// A little above kMaxNs, whose bucket is then on the axis.
constexpr double kHighNs = 3.7e12;
// So many that a bucket is at most 1/256 wider than its lower bound: ln(kHighNs / kLowNs) /
// ln(1 + 1/256), rounded up.
constexpr unsigned kBuckets = 5652;

using Axis = bh::axis::regular<double, bh::axis::transform::log, bh::axis::null_type,
                               bh::axis::option::underflow_t>;
// Counters of a byte each until one needs more.
using Bins = bh::histogram<std::tuple<Axis>, bh::unlimited_storage<>>;

// Values are whole nanoseconds, so the least one at or above a bound is the first of its bucket.
int64_t FirstNs(double bound) { return static_cast<int64_t>(std::ceil(bound)); }

}  // namespace

struct Histogram::Counts {
  Bins bins = bh::make_histogram_with(bh::unlimited_storage<>(), Axis(kBuckets, kLowNs, kHighNs));
  uint64_t count = 0;
  double sum = 0;
  int64_t min = kMaxNs;
  int64_t max = 0;
};

Histogram::Histogram() = default;
Histogram::~Histogram() = default;
Histogram::Histogram(Histogram&& other) noexcept = default;
Histogram& Histogram::operator=(Histogram&& other) noexcept = default;

Histogram::Histogram(const Histogram& other)
    : counts_(other.counts_ ? std::make_unique<Counts>(*other.counts_) : nullptr) {}

Histogram& Histogram::operator=(const Histogram& other) { return *this = Histogram(other); }

void Histogram::Add(int64_t ns) {
  if (!counts_) counts_ = std::make_unique<Counts>();
  ns = std::clamp<int64_t>(ns, 0, kMaxNs);
  counts_->bins(static_cast<double>(ns));
  ++counts_->count;
  counts_->sum += static_cast<double>(ns);
  counts_->min = std::min(counts_->min, ns);
  counts_->max = std::max(counts_->max, ns);
}

void Histogram::Merge(const Histogram& other) {
  if (!other.counts_) return;
  if (!counts_) {
    *this = other;
    return;
  }
  counts_->bins += other.counts_->bins;
  counts_->count += other.counts_->count;
  counts_->sum += other.counts_->sum;
  counts_->min = std::min(counts_->min, other.counts_->min);
  counts_->max = std::max(counts_->max, other.counts_->max);
}

uint64_t Histogram::count() const { return counts_ ? counts_->count : 0; }
int64_t Histogram::min() const { return counts_ ? counts_->min : 0; }
int64_t Histogram::max() const { return counts_ ? counts_->max : 0; }
double Histogram::mean() const {
  return counts_ ? counts_->sum / static_cast<double>(counts_->count) : 0;
}

int64_t Histogram::Quantile(double quantile) const {
  if (!counts_) return 0;
  // The small subtrahend keeps 0.99 * 100 at 99, which binary fractions make 99.00000000000001.
  const double exact = std::ceil(quantile * static_cast<double>(count()) - 1e-9);
  const uint64_t rank =
      std::clamp<uint64_t>(static_cast<uint64_t>(std::max(exact, 1.0)), 1, count());
  if (rank == 1) return min();
  if (rank == count()) return max();
  uint64_t seen = 0;
  for (const Bucket& bucket : Buckets()) {
    seen += bucket.count;
    if (seen >= rank) return std::clamp((bucket.lower + bucket.upper) / 2, min(), max());
  }
  return max();
}

std::vector<Histogram::Bucket> Histogram::Buckets() const {
  std::vector<Bucket> buckets;
  if (!counts_) return buckets;
  for (auto&& cell : bh::indexed(counts_->bins, bh::coverage::all)) {
    const auto count = static_cast<uint64_t>(*cell);
    if (count == 0) continue;
    buckets.push_back({FirstNs(cell.bin(0).lower()), FirstNs(cell.bin(0).upper()), count});
  }
  return buckets;
}

}  // namespace pixpool::bench
