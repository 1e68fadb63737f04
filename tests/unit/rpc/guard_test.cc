#include "server/rpc/guard.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "server/base/error.h"

namespace pixpool {
namespace {

TEST(GuardTest, SaysWhatWasThrown) {
  EXPECT_EQ(Guard([] {}), Thrown::kNothing);
  EXPECT_EQ(Guard([] { throw std::bad_alloc(); }), Thrown::kNoMemory);
  EXPECT_EQ(Guard([] { throw std::length_error("too long"); }), Thrown::kOther);
  EXPECT_EQ(Guard([] { throw 7; }), Thrown::kOther);
}

TEST(GuardTest, NoMemoryMayBeTriedAgainAndABugMayNot) {
  const auto full = GetErrorDetails(ThrownStatus(Thrown::kNoMemory));
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->reason, ErrorReason::kOverloaded);
  EXPECT_GT(full->retry_after, absl::ZeroDuration());
  const auto bug = GetErrorDetails(ThrownStatus(Thrown::kOther));
  ASSERT_TRUE(bug.has_value());
  EXPECT_EQ(bug->reason, ErrorReason::kInferenceFailed);
}

}  // namespace
}  // namespace pixpool
