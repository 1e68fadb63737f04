#include "server/rpc/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace pixpool {
namespace {

// The example of the specification.
constexpr char kExample[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContextTest, ReadsTheParts) {
  const auto trace = ParseTraceParent(kExample);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(trace->span_id, "b7ad6b7169203331");
  EXPECT_EQ(trace->flags, "01");
}

TEST(TraceContextTest, LaterVersionsMayBeLonger) {
  const std::string rest = std::string(kExample).substr(2);
  EXPECT_TRUE(ParseTraceParent("01" + rest).has_value());
  EXPECT_TRUE(ParseTraceParent("cc" + rest + "-what-the-future-brings").has_value());
  EXPECT_FALSE(ParseTraceParent("cc" + rest + ".what").has_value());
  EXPECT_FALSE(ParseTraceParent("00" + rest + "-more").has_value());
  EXPECT_FALSE(ParseTraceParent("ff" + rest).has_value());
}

TEST(TraceContextTest, WhatIsNotValidIsIgnored) {
  for (const char* bad : {
           "",
           "00",
           "00-",
           "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",  // upper case
           "00-00000000000000000000000000000000-b7ad6b7169203331-01",  // no trace
           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",  // no span
           "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",  // dash one too early
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-011",
           " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
       }) {
    EXPECT_FALSE(ParseTraceParent(bad).has_value()) << bad;
  }
}

TEST(TraceContextTest, StatesAreOneListUnlessTheyAreNone) {
  EXPECT_EQ(JoinTraceState({}), "");
  EXPECT_EQ(JoinTraceState({"a=1"}), "a=1");
  EXPECT_EQ(JoinTraceState({"a=1,b=2", "", "c=3"}), "a=1,b=2,c=3");
  EXPECT_EQ(JoinTraceState({std::string(512, 'x')}).size(), 512u);
  EXPECT_EQ(JoinTraceState({std::string(513, 'x')}), "");
  EXPECT_EQ(JoinTraceState({"a=1\n"}), "");
  EXPECT_EQ(JoinTraceState({"a=\xFF"}), "");
}

}  // namespace
}  // namespace pixpool
