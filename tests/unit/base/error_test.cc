#include "server/base/error.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/cord.h"
#include "server/base/status_macros.h"

namespace pixpool {
namespace {

TEST(ErrorTest, EveryReasonHasItsOwnNameAndAFailureCode) {
  std::set<std::string_view> names;
  for (int i = 0; i < kErrorReasonCount; ++i) {
    const auto reason = static_cast<ErrorReason>(i);
    names.insert(ReasonName(reason));
    EXPECT_NE(ReasonCode(reason), absl::StatusCode::kOk);
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kErrorReasonCount));
}

TEST(ErrorTest, NamesAndCodesArePartOfTheApi) {
  EXPECT_EQ(ReasonName(ErrorReason::kImageUndecodable), "IMAGE_UNDECODABLE");
  EXPECT_EQ(ReasonCode(ErrorReason::kImageUndecodable), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonName(ErrorReason::kOverloaded), "OVERLOADED");
  EXPECT_EQ(ReasonCode(ErrorReason::kOverloaded), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReasonName(ErrorReason::kDeadlineInQueue), "DEADLINE_IN_QUEUE");
  EXPECT_EQ(ReasonCode(ErrorReason::kDeadlineInQueue), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(ReasonName(ErrorReason::kInferenceFailed), "INFERENCE_FAILED");
  EXPECT_EQ(ReasonCode(ErrorReason::kInferenceFailed), absl::StatusCode::kInternal);
}

TEST(ErrorTest, DetailsSurviveTheStatus) {
  ErrorDetails in;
  in.reason = ErrorReason::kOverloaded;
  in.field = "images[3]";
  in.metadata = {{"limit", "8"}, {"odd", std::string("3:a\0:\xff,", 7)}, {"", ""}};
  in.retry_after = absl::Milliseconds(250);
  const absl::Status status = MakeError(in, "full");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "full");
  const auto out = GetErrorDetails(status);
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->reason, in.reason);
  EXPECT_EQ(out->field, in.field);
  EXPECT_EQ(out->metadata, in.metadata);
  EXPECT_EQ(out->retry_after, in.retry_after);
}

TEST(ErrorTest, OtherStatusesHaveNoDetails) {
  EXPECT_FALSE(GetErrorDetails(absl::OkStatus()).has_value());
  EXPECT_FALSE(GetErrorDetails(absl::InternalError("x")).has_value());
}

TEST(ErrorTest, MalformedPayloadsGiveNoDetails) {
  std::string url;
  MakeError(ErrorReason::kCancelled, "x")
      .ForEachPayload([&](absl::string_view u, const absl::Cord&) { url = std::string(u); });
  ASSERT_FALSE(url.empty());
  for (const char* payload : {"", "1:1", "1:00:1:0", "9:1", "x", "2:990:1:0", "-1:1", "1:10:1:x",
                              "1:10:1:01:a", "99999999999999999999:a"}) {
    absl::Status status = absl::InternalError("x");
    status.SetPayload(url, absl::Cord(payload));
    if (std::string_view(payload) == "1:00:1:0") {
      EXPECT_TRUE(GetErrorDetails(status).has_value()) << "the control is well-formed";
    } else {
      EXPECT_FALSE(GetErrorDetails(status).has_value()) << payload;
    }
  }
}

TEST(ErrorTest, PrependFieldJoinsPaths) {
  const auto field = [](const std::string& inner, std::string_view prefix) {
    ErrorDetails details;
    details.reason = ErrorReason::kHeadInvalid;
    details.field = inner;
    const absl::Status status = PrependField(MakeError(details, "m"), prefix);
    EXPECT_EQ(status.message(), "m");
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return GetErrorDetails(status)->field;
  };
  EXPECT_EQ(field("gem.p", "heads[1]"), "heads[1].gem.p");
  EXPECT_EQ(field("", "heads[1]"), "heads[1]");
  EXPECT_EQ(field("[2].p", "heads"), "heads[2].p");
  EXPECT_EQ(field("p", ""), "p");
}

TEST(ErrorTest, PrependFieldLeavesOtherStatusesAlone) {
  EXPECT_TRUE(PrependField(absl::OkStatus(), "x").ok());
  EXPECT_EQ(PrependField(absl::InternalError("y"), "x"), absl::InternalError("y"));
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return MakeError(ErrorReason::kRequestInvalid, "odd");
  return n / 2;
}

absl::StatusOr<int> Quarter(int n) {
  PIXPOOL_ASSIGN_OR_RETURN(const int half, Half(n));
  PIXPOOL_RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST(StatusMacrosTest, PassValuesOnAndReturnErrors) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(Quarter(7).status().message(), "odd");
  EXPECT_EQ(GetErrorDetails(Quarter(6).status())->reason, ErrorReason::kRequestInvalid);
}

}  // namespace
}  // namespace pixpool
