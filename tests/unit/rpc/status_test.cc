#include "server/rpc/status.h"

#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "server/base/error.h"

namespace pixpool {
namespace {

TEST(StatusTest, OkStaysOk) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_EQ(RetryPushback(absl::OkStatus()), "");
  EXPECT_EQ(ReasonText(absl::OkStatus()), "");
}

TEST(StatusTest, DetailsTravelInTheirStandardMessages) {
  const absl::Status status = MakeError({.reason = ErrorReason::kLimitExceeded,
                                         .field = "images[3]",
                                         .metadata = {{"limit", "10"}, {"actual", "11"}}},
                                        "too large");
  const google::rpc::Status rpc = ToRpcStatus(status);
  EXPECT_EQ(rpc.code(), 3);
  EXPECT_EQ(rpc.message(), "too large");
  ASSERT_EQ(rpc.details_size(), 2);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(rpc.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "LIMIT_EXCEEDED");
  EXPECT_EQ(info.domain(), "pixpool.v1.FeatureService");
  EXPECT_EQ(info.metadata().at("limit"), "10");
  google::rpc::BadRequest bad;
  ASSERT_TRUE(rpc.details(1).UnpackTo(&bad));
  EXPECT_EQ(bad.field_violations(0).field(), "images[3]");
  EXPECT_EQ(bad.field_violations(0).description(), "too large");
}

TEST(StatusTest, RetryDelayIsInDetailAndTrailer) {
  const absl::Status status = MakeError(
      {.reason = ErrorReason::kOverloaded, .retry_after = absl::Milliseconds(1250)}, "full");
  EXPECT_EQ(RetryPushback(status), "1250");
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(ToRpcStatus(status).details(1).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 250'000'000);
}

TEST(StatusTest, ForeignErrorsLeakNothing) {
  const grpc::Status status = ToGrpcStatus(absl::UnknownError("/secret/path exploded"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message().find("secret"), std::string::npos);
  EXPECT_EQ(status.error_details().find("secret"), std::string::npos);
  EXPECT_EQ(ReasonText(absl::UnknownError("x")), "INFERENCE_FAILED");
}

TEST(StatusTest, EveryReasonKeepsItsCode) {
  for (int i = 0; i < kErrorReasonCount; ++i) {
    const auto reason = static_cast<ErrorReason>(i);
    const grpc::Status status = ToGrpcStatus(MakeError(reason, "m"));
    EXPECT_EQ(static_cast<int>(status.error_code()), static_cast<int>(ReasonCode(reason)));
    google::rpc::Status rpc;
    ASSERT_TRUE(rpc.ParseFromString(status.error_details()));
    EXPECT_EQ(rpc.code(), static_cast<int>(status.error_code()));
  }
}

TEST(ClipTextTest, KeepsBothEndsAndWholeLetters) {
  EXPECT_EQ(ClipText("as it is", 16), "as it is");
  EXPECT_EQ(ClipText("no layer \"xxxxxxxxxxxxxxxxxxxx\"; try a", 32),
            "no layer \"xxxxxxxxx ... \"; try a");
  std::string letters;
  for (int i = 0; i < 100; ++i) letters += "\xE4\xB8\xAD";  // three bytes each
  for (size_t most = 16; most < 64; ++most) {
    std::string clipped = ClipText(letters, most);
    EXPECT_LE(clipped.size(), most);
    EXPECT_GE(clipped.size() + 6, most);
    const size_t gap = clipped.find(" ... ");
    ASSERT_NE(gap, std::string::npos);
    EXPECT_EQ(gap % 3, 0u);
    EXPECT_EQ((clipped.size() - gap - 5) % 3, 0u);
  }
}

TEST(StatusTest, LongTextsFitIntoTheTrailers) {
  std::string text;
  while (text.size() < 20'000) text += "\xC3\xA9";
  ErrorDetails details = {.reason = ErrorReason::kLayerNotFound, .field = text};
  for (int i = 0; i < 20; ++i) details.metadata.emplace_back("name" + std::to_string(i), text);
  const grpc::Status status = ToGrpcStatus(MakeError(details, text));
  // A byte of the message may become three, three of the details become four.
  EXPECT_LT(status.error_message().size() * 3 + status.error_details().size() * 4 / 3, 7900u);
  google::rpc::Status rpc;
  ASSERT_TRUE(rpc.ParseFromString(status.error_details()));
  EXPECT_EQ(rpc.message(), status.error_message());
}

}  // namespace
}  // namespace pixpool
