#include "server/tracing/tracer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace pixpool {
namespace {

using testing::HasSubstr;

// Nobody listens at port 1.
TracingSettings Nowhere(Sampling sampling = {}) {
  TracingSettings settings;
  settings.on = true;
  // Assigned as literals they make GCC 12 warn of strings that overlap.
  settings.host = std::string("127.0.0.1");
  settings.port = std::string("1");
  settings.path = std::string("/v1/traces");
  settings.sampling = sampling;
  return settings;
}

RemoteSpan Caller(bool sampled) {
  return {.trace = {1, 2}, .id = {3}, .sampled = sampled, .state = "vendor=1"};
}

TEST(TracerTest, ASpanIsInTheTraceOfItsCallerOrInANewOne) {
  Metrics metrics;
  Tracer tracer(Nowhere(), "1", &metrics);
  const auto place = tracer.Begin(Caller(true));
  ASSERT_TRUE(place);
  EXPECT_EQ(place->trace, (TraceId{1, 2}));
  EXPECT_EQ(place->parent, SpanId{3});
  EXPECT_EQ(place->state, "vendor=1");
  std::set<TraceId> traces;
  std::set<SpanId> spans;
  for (int i = 0; i < 100; ++i) {
    const auto other = tracer.Begin({});
    ASSERT_TRUE(other);
    EXPECT_EQ(other->parent, SpanId{});
    traces.insert(other->trace);
    spans.insert(other->id);
  }
  EXPECT_EQ(traces.size(), 100u);
  EXPECT_EQ(spans.size(), 100u);
}

TEST(TracerTest, TheCallerDecidesWhereTheSamplerSaysSo) {
  Metrics metrics;
  Tracer follows(Nowhere({.share = 0, .follows_caller = true}), "1", &metrics);
  EXPECT_TRUE(follows.Begin(Caller(true)));
  EXPECT_FALSE(follows.Begin(Caller(false)));
  EXPECT_FALSE(follows.Begin({}));
  Tracer alone(Nowhere({.share = 1, .follows_caller = false}), "1", &metrics);
  EXPECT_TRUE(alone.Begin(Caller(false)));
}

TEST(TracerTest, AShareIsOfTraces) {
  Metrics metrics;
  Tracer tracer(Nowhere({.share = 0.25, .follows_caller = false}), "1", &metrics);
  int sampled = 0;
  for (int i = 0; i < 4000; ++i) sampled += tracer.Begin({}).has_value() ? 1 : 0;
  EXPECT_NEAR(sampled, 1000, 200);  // seven times the deviation
  RemoteSpan low = Caller(true), high = Caller(true);
  low.trace.fill(0x01);
  high.trace.fill(0xF0);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(tracer.Begin(low));
    EXPECT_FALSE(tracer.Begin(high));
  }
}

TEST(TracerTest, WhatTheQueueAndTheCollectorDoNotTakeIsCounted) {
  Metrics metrics;
  TracingSettings settings = Nowhere();
  settings.most_queued = 10;
  settings.most_in_batch = 10;
  {
    Tracer tracer(settings, "1", &metrics);
    // More at once than fit, so that no thread can be quicker.
    tracer.Add(std::vector<Span>(25));
  }
  const std::string text = metrics.Scrape();
  EXPECT_THAT(text, HasSubstr("pixpool_spans_total{outcome=\"queue_full\"} 15\n"));
  EXPECT_THAT(text, HasSubstr("pixpool_spans_total{outcome=\"failed\"} 10\n"));
  EXPECT_THAT(text, HasSubstr("pixpool_spans_total{outcome=\"sent\"} 0\n"));
}

}  // namespace
}  // namespace pixpool
