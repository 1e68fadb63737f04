#include "client/bench/histogram.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace pixpool::bench {
namespace {

constexpr int64_t kMs = 1000 * 1000;

class HistogramRangeTest : public testing::TestWithParam<double> {};

TEST_P(HistogramRangeTest, QuantilesAreWithinAFifthOfAPercentOfTheExactOnes) {
  std::mt19937_64 engine(7);
  std::lognormal_distribution<double> ms(GetParam(), 1.5);
  Histogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(static_cast<int64_t>(ms(engine) * kMs));
    histogram.Add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double q : {0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const size_t rank = std::max<size_t>(1, static_cast<size_t>(std::ceil(q * 20000 - 1e-9)));
    const double exact = static_cast<double>(values[rank - 1]);
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(q)), exact, exact * 0.002 + 1) << q;
  }
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.min(), values.front());
}

// Logarithms of the median in milliseconds: from a few microseconds, as of a server's stage, over
// calls of 20 ms to runs of minutes.
INSTANTIATE_TEST_SUITE_P(Medians, HistogramRangeTest, testing::Values(-1.0, 3.0, 9.0));

TEST(HistogramTest, RanksAreExact) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Add(i * 100 * kMs);
  // Of 100 values p99 is the 99th and not the 100th, whatever 0.99 * 100 is in binary.
  EXPECT_NEAR(static_cast<double>(histogram.Quantile(0.99)) / kMs, 9900, 40);
  EXPECT_NEAR(static_cast<double>(histogram.Quantile(0.991)) / kMs, 10000, 0);
  EXPECT_NEAR(static_cast<double>(histogram.Quantile(0.5)) / kMs, 5000, 20);
}

TEST(HistogramTest, EmptyAndExtremes) {
  Histogram histogram;
  EXPECT_EQ(histogram.Quantile(0.99), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.mean(), 0);
  EXPECT_TRUE(histogram.Buckets().empty());
  histogram.Add(-5);
  histogram.Add(int64_t{1} << 62);
  EXPECT_EQ(histogram.min(), 0);
  EXPECT_EQ(histogram.max(), int64_t{3600} * 1000 * kMs);
  EXPECT_EQ(histogram.count(), 2u);
}

TEST(HistogramTest, MergeIsAddingAll) {
  Histogram a, b, all;
  for (int i = 0; i < 1000; ++i) {
    (i % 3 == 0 ? a : b).Add(i * 37 * 1000);
    all.Add(i * 37 * 1000);
  }
  a.Merge(b);
  a.Merge(Histogram());
  EXPECT_EQ(a.count(), all.count());
  EXPECT_EQ(a.min(), all.min());
  EXPECT_EQ(a.max(), all.max());
  EXPECT_DOUBLE_EQ(a.mean(), all.mean());
  for (const double q : {0.1, 0.5, 0.99}) EXPECT_EQ(a.Quantile(q), all.Quantile(q));
}

TEST(HistogramTest, CopiesAreTheirOwnAndWhatWasMovedFromIsEmpty) {
  Histogram a;
  a.Add(5 * kMs);
  Histogram copy = a;
  copy.Add(7 * kMs);
  EXPECT_EQ(a.count(), 1u);
  EXPECT_EQ(copy.count(), 2u);
  const Histogram moved = std::move(copy);
  EXPECT_EQ(moved.max(), 7 * kMs);
  EXPECT_EQ(copy.count(), 0u);  // NOLINT(bugprone-use-after-move)
  copy.Add(kMs);
  EXPECT_EQ(copy.Quantile(0.5), kMs);
  a = Histogram();
  EXPECT_EQ(a.count(), 0u);
  a.Merge(moved);
  EXPECT_EQ(a.Quantile(1), 7 * kMs);
}

TEST(HistogramTest, CountsOutgrowAByte) {
  Histogram histogram;
  for (int i = 0; i < 100000; ++i) histogram.Add(kMs);
  histogram.Add(2 * kMs);
  ASSERT_EQ(histogram.Buckets().size(), 2u);
  EXPECT_EQ(histogram.Buckets()[0].count, 100000u);
  histogram.Merge(Histogram(histogram));
  EXPECT_EQ(histogram.Buckets()[0].count, 200000u);
}

TEST(HistogramTest, BucketsHoldAllAndDoNotOverlap) {
  Histogram histogram;
  for (int64_t ns = 1; ns < int64_t{1} << 40; ns = ns * 5 / 4 + 1) histogram.Add(ns);
  uint64_t count = 0;
  int64_t end = 0;
  for (const Histogram::Bucket& b : histogram.Buckets()) {
    EXPECT_GE(b.lower, end);
    EXPECT_GT(b.upper, b.lower);
    // Wide as 1/256 of its values at most, in whole nanoseconds; all below a microsecond is one.
    EXPECT_LE(b.upper - b.lower, b.lower == 0 ? 1000 : b.lower / 256 + 1);
    end = b.upper;
    count += b.count;
  }
  EXPECT_EQ(count, histogram.count());
}

}  // namespace
}  // namespace pixpool::bench
