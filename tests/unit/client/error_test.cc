#include "client/cpp/error.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::client {
namespace {

using Trailers = std::multimap<grpc::string_ref, grpc::string_ref>;

TEST(ErrorTest, DetailsOfACallAreReadable) {
  const absl::Status status = FromGrpcStatus(CallError(
      grpc::StatusCode::INVALID_ARGUMENT, "p must be above 0", "HEAD_INVALID", "heads[0].gem.p"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "p must be above 0");
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, "HEAD_INVALID");
  EXPECT_THAT(details.metadata, testing::ElementsAre(testing::Pair("limit", "7")));
  EXPECT_THAT(details.field_violations,
              testing::ElementsAre(testing::Pair("heads[0].gem.p", "p must be above 0")));
  EXPECT_EQ(details.retry_after, std::nullopt);
  EXPECT_EQ(Describe(status),
            "INVALID_ARGUMENT (HEAD_INVALID): p must be above 0 [heads[0].gem.p]");
}

TEST(ErrorTest, DetailsOfAnImageAreReadable) {
  const absl::Status status = FromRpcStatus(
      RpcError(grpc::StatusCode::INVALID_ARGUMENT, "not a picture", "IMAGE_UNDECODABLE"));
  EXPECT_EQ(Describe(status), "INVALID_ARGUMENT (IMAGE_UNDECODABLE): not a picture");
}

TEST(ErrorTest, RetryInfoAndPushback) {
  const grpc::Status error =
      CallError(grpc::StatusCode::UNAVAILABLE, "full", "OVERLOADED", "", 250);
  EXPECT_EQ(GetErrorDetails(FromGrpcStatus(error)).retry_after, absl::Milliseconds(250));

  const Trailers later = {{"grpc-retry-pushback-ms", "1500"}};
  EXPECT_EQ(GetErrorDetails(FromGrpcStatus(error, &later)).retry_after, absl::Milliseconds(1500));

  for (const char* value : {"-1", "soon", ""}) {
    const Trailers never = {{"grpc-retry-pushback-ms", value}};
    EXPECT_TRUE(GetErrorDetails(FromGrpcStatus(error, &never)).retry_forbidden) << value;
  }
}

TEST(ErrorTest, ErrorsWithoutDetails) {
  const absl::Status status =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection refused", "garbage"));
  EXPECT_EQ(GetErrorDetails(status).reason, "");
  EXPECT_EQ(Describe(status), "UNAVAILABLE: connection refused");
  EXPECT_EQ(Describe(absl::OkStatus()), "OK");
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
}

TEST(ErrorTest, UnknownCodesAreUnknown) {
  google::rpc::Status odd;
  odd.set_code(77);
  EXPECT_EQ(FromRpcStatus(odd).code(), absl::StatusCode::kUnknown);
}

TEST(ErrorTest, FieldDescriptionThatAddsSomethingIsShown) {
  google::rpc::Status status;
  status.set_code(3);
  status.set_message("bad request");
  google::rpc::BadRequest bad;
  bad.add_field_violations()->set_field("images");
  bad.mutable_field_violations(0)->set_description("must not be empty");
  status.add_details()->PackFrom(bad);
  EXPECT_EQ(Describe(FromRpcStatus(status)),
            "INVALID_ARGUMENT: bad request [images: must not be empty]");
}

}  // namespace
}  // namespace pixpool::client
