#include "client/bench/metrics.h"

#include <cmath>

#include "gtest/gtest.h"

namespace pixpool::bench {
namespace {

TEST(MetricsTest, Urls) {
  const auto url = ParseMetricsUrl("http://127.0.0.1:8080/metrics");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->host + " " + url->port + " " + url->path, "127.0.0.1 8080 /metrics");
  EXPECT_EQ(ParseMetricsUrl("localhost:9")->path, "/metrics");
  EXPECT_EQ(ParseMetricsUrl("http://server/other")->port, "80");
  EXPECT_EQ(ParseMetricsUrl("http://[::1]:8080")->host, "::1");
  for (const char* bad : {"", "https://a:1", "host:port", "host:0", "host:99999", "a:1/x y"}) {
    EXPECT_FALSE(ParseMetricsUrl(bad).ok()) << bad;
  }
}

TEST(MetricsTest, DifferenceOfTwoLooks) {
  const Samples before = ParseSamples(
      "# HELP pixpool_batch_size x\n# TYPE pixpool_batch_size histogram\n"
      "pixpool_batch_size_count 10\npixpool_batch_size_sum 10\n"
      "pixpool_batch_size_bucket{le=\"1\"} 10\npixpool_batch_size_bucket{le=\"+Inf\"} 10\n"
      "pixpool_requests_shed_total{reason=\"OVERLOADED\"} 1\nnonsense\n"
      "process_cpu_seconds_total 1.5\n");
  const Samples after = ParseSamples(
      "pixpool_batch_size_count 14\npixpool_batch_size_sum 20\n"
      "pixpool_batch_size_bucket{le=\"1\"} 12\npixpool_batch_size_bucket{le=\"+Inf\"} 14\n"
      "pixpool_batch_size_count{model=\"new\"} 3\npixpool_batch_size_sum{model=\"new\"} 4\n"
      "pixpool_batch_size_bucket{model=\"new\",le=\"1\"} 2\n"
      "pixpool_batch_size_bucket{model=\"new\",le=\"+Inf\"} 3\n"
      "pixpool_requests_shed_total{reason=\"OVERLOADED\"} 4\n"
      "pixpool_requests_shed_total{reason=\"DRAINING\"} 2\n"
      "process_cpu_seconds_total 4\nprocess_resident_memory_bytes 3e+08\n");
  const ServerSide side = Difference(before, after);
  EXPECT_EQ(side.batches, 7);
  EXPECT_EQ(side.batch_images, 14);
  EXPECT_EQ(side.shed, 5);
  EXPECT_DOUBLE_EQ(side.cpu_s, 2.5);
  EXPECT_EQ(side.resident_bytes, 3e8);
  ASSERT_EQ(side.batch_sizes.size(), 2u);
  EXPECT_EQ(side.batch_sizes[0].second, 4);
  EXPECT_TRUE(std::isinf(side.batch_sizes[1].first));
  EXPECT_EQ(side.batch_sizes[1].second, 7);
}

TEST(MetricsTest, NobodyThere) {
  const auto samples = FetchSamples({"127.0.0.1", "1", "/metrics"}, absl::Seconds(1));
  EXPECT_TRUE(absl::IsUnavailable(samples.status()));
}

}  // namespace
}  // namespace pixpool::bench
