#include "server/rpc/priority.h"

#include <gtest/gtest.h>

#include "server/base/error.h"

namespace pixpool {
namespace {

TEST(PriorityTest, TextsAreExact) {
  EXPECT_EQ(PriorityFromText("interactive"), Priority::kInteractive);
  EXPECT_EQ(PriorityFromText("bulk"), Priority::kBulk);
  for (const char* other : {"", "BULK", "bulk ", "0"}) {
    EXPECT_EQ(PriorityFromText(other), std::nullopt) << other;
  }
}

TEST(PriorityTest, AFieldThatIsNotSetLeavesWhatWasBefore) {
  EXPECT_EQ(*PriorityFromProto(v1::PRIORITY_UNSPECIFIED, Priority::kBulk), Priority::kBulk);
  EXPECT_EQ(*PriorityFromProto(v1::PRIORITY_INTERACTIVE, Priority::kBulk), Priority::kInteractive);
  EXPECT_EQ(*PriorityFromProto(v1::PRIORITY_BULK, Priority::kInteractive), Priority::kBulk);
}

TEST(PriorityTest, AnUnknownValueIsNamed) {
  const auto status = PriorityFromProto(static_cast<v1::Priority>(77), Priority::kBulk).status();
  ASSERT_TRUE(GetErrorDetails(status).has_value());
  EXPECT_EQ(GetErrorDetails(status)->reason, ErrorReason::kRequestInvalid);
  EXPECT_EQ(GetErrorDetails(status)->field, "priority");
  EXPECT_EQ(status.message(),
            "priority has the unknown value 77; set PRIORITY_INTERACTIVE (1) or PRIORITY_BULK (2), "
            "or leave it out");
}

}  // namespace
}  // namespace pixpool
