#include "client/bench/answer.h"

#include "client/cpp/error.h"
#include "gtest/gtest.h"
#include "inference/grpc_service.pb.h"
#include "tests/unit/client/bench/messages.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::bench {
namespace {

constexpr size_t kDecode = 1;
constexpr size_t kBackbone = 4;

absl::StatusOr<Answer> Read(const WorkloadOptions& options, const std::string& bytes,
                            size_t piece = 1 << 20) {
  grpc::ByteBuffer buffer = Buffer(bytes, piece);
  return ReadAnswer(MakeWorkload(options), buffer);
}

v1::ImageResult Good() {
  v1::ImageResult result;
  for (int i = 0; i < 1280; ++i) {
    if (i == 0) result.mutable_features()->add_head_results();
    result.mutable_features()->mutable_head_results(0)->add_values(static_cast<float>(i));
  }
  result.mutable_features()->mutable_stage_times()->mutable_decode()->set_nanos(7);
  result.mutable_features()->mutable_stage_times()->mutable_backbone()->set_seconds(2);
  return result;
}

TEST(AnswerTest, CountsPicturesAndReadsTheStages) {
  v1::ExtractFeaturesResponse response;
  *response.add_results() = Good();
  *response.add_results()->mutable_status() =
      client::RpcError(grpc::StatusCode::INVALID_ARGUMENT, "no picture", "IMAGE_UNDECODABLE");
  *response.add_results() = Good();
  response.mutable_stage_times()->mutable_backbone()->set_nanos(1500);
  const std::string bytes = response.SerializeAsString();
  for (const size_t piece : {size_t{1}, size_t{1000}, bytes.size()}) {
    const auto answer = Read({}, bytes, piece);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->images_ok, 2);
    ASSERT_EQ(answer->failed_images.size(), 1u);
    EXPECT_EQ(client::GetErrorDetails(answer->failed_images[0]).reason, "IMAGE_UNDECODABLE");
    ASSERT_TRUE(answer->stages.has_value());
    EXPECT_EQ((*answer->stages)[kBackbone], 1500);  // the request's, not a picture's
    EXPECT_EQ(answer->bytes, bytes.size());
  }
}

TEST(AnswerTest, OfAStream) {
  WorkloadOptions options;
  options.stream = true;
  v1::StreamFeaturesResponse response;
  *response.mutable_result() = Good();
  response.mutable_result()->set_index(41);
  const auto answer = Read(options, response.SerializeAsString());
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->index, 41);
  EXPECT_EQ(answer->images_ok, 1);
  EXPECT_EQ((*answer->stages)[kDecode], 7);
  EXPECT_EQ((*answer->stages)[kBackbone], 2000000000);
}

inference::ModelInferResponse KserveResponse() {
  inference::ModelInferResponse response;
  response.add_outputs()->set_name("global_avg");
  (*response.mutable_parameters())["backbone_us"].set_int64_param(1200);
  (*response.mutable_parameters())["decode_us"].set_int64_param(3);
  (*response.mutable_parameters())["other"].set_string_param("x");
  response.add_raw_output_contents(std::string(5120, 'v'));
  return response;
}

TEST(AnswerTest, OfKserve) {
  WorkloadOptions options;
  options.api = Api::kKserve;
  options.batch = 3;
  auto answer = Read(options, KserveResponse().SerializeAsString());
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->images_ok, 3);
  EXPECT_EQ((*answer->stages)[kBackbone], 1200000);
  EXPECT_EQ((*answer->stages)[kDecode], 3000);

  options.stream = true;
  inference::ModelStreamInferResponse wrapped;
  *wrapped.mutable_infer_response() = KserveResponse();
  answer = Read(options, wrapped.SerializeAsString());
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(answer->request.ok());
  EXPECT_EQ(answer->images_ok, 3);

  wrapped.Clear();
  wrapped.set_error_message("OVERLOADED: too many");
  answer = Read(options, wrapped.SerializeAsString());
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(client::GetErrorDetails(answer->request).reason, "OVERLOADED");
  EXPECT_EQ(answer->images_ok, 0);
}

TEST(AnswerTest, WhatIsNoResponseIsAnError) {
  v1::ExtractFeaturesResponse response;
  *response.add_results() = Good();
  const std::string bytes = response.SerializeAsString();
  EXPECT_TRUE(absl::IsInternal(Read({}, bytes.substr(0, bytes.size() - 1)).status()));
  EXPECT_TRUE(absl::IsInternal(Read({}, std::string(20, '\xff')).status()));
  EXPECT_TRUE(absl::IsInternal(Read({}, std::string("\x0a\x7f", 2)).status()));
  const auto empty = Read({}, "");
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->images_ok, 0);
}

}  // namespace
}  // namespace pixpool::bench
