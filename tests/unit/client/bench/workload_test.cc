#include "client/bench/workload.h"

#include <set>

#include "client/cpp/heads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/grpc_service.pb.h"
#include "tests/unit/client/bench/messages.h"

namespace pixpool::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

WorkloadOptions Options(Api api, bool stream, int batch) {
  WorkloadOptions options;
  options.api = api;
  options.stream = stream;
  options.batch = batch;
  options.heads = {"gem:p=4", "global_avg"};
  for (const std::string& head : options.heads) {
    *options.config.add_heads() = *client::ParseHead(head);
  }
  options.config.set_model("m");
  options.config.mutable_input_options()->set_input_height_px(128);
  options.config.mutable_input_options()->set_decode(v1::DECODE_MODE_SCALED);
  options.config.mutable_input_options()->add_scales(1);
  options.config.mutable_input_options()->add_scales(0.5);
  return options;
}

std::vector<std::string> Pictures() {
  return {"a", std::string(300, 'b'), std::string(70000, 'c')};
}

TEST(WorkloadTest, RequestIsTheMessageOfTheApi) {
  const WorkloadOptions options = Options(Api::kPixpool, false, 2);
  const Workload workload = MakeWorkload(options, Pictures());
  EXPECT_EQ(workload.method(), "/pixpool.v1.FeatureService/ExtractFeatures");
  EXPECT_EQ(workload.stream_config(), "");
  std::multiset<std::string> seen;
  for (size_t first = 0; first < 6; first += 2) {  // three requests: each picture twice
    v1::ExtractFeaturesRequest request;
    ASSERT_TRUE(request.ParseFromString(Text(workload.Request(first))));
    EXPECT_EQ(request.model(), "m");
    EXPECT_EQ(request.input_options().SerializeAsString(),
              options.config.input_options().SerializeAsString());
    ASSERT_EQ(request.heads_size(), 2);
    EXPECT_EQ(request.heads(0).gem().p(), 4);
    ASSERT_EQ(request.images_size(), 2);
    for (const v1::Image& image : request.images()) seen.insert(image.encoded());
  }
  const auto p = Pictures();
  EXPECT_THAT(seen, UnorderedElementsAre(p[0], p[0], p[1], p[1], p[2], p[2]));
}

TEST(WorkloadTest, NoHeadsAndNoOptionsAreAnEmptyPrefix) {
  v1::ExtractFeaturesRequest request;
  ASSERT_TRUE(request.ParseFromString(Text(MakeWorkload().Request(7))));
  EXPECT_EQ(request.heads_size(), 0);
  EXPECT_EQ(request.images(0).encoded(), "good");
}

TEST(WorkloadTest, StreamSaysItsSettingsOnce) {
  const Workload workload = MakeWorkload(Options(Api::kPixpool, true, 1), {"x"});
  v1::StreamFeaturesRequest first, next;
  ASSERT_TRUE(first.ParseFromString(workload.stream_config()));
  EXPECT_EQ(first.config().heads_size(), 2);
  EXPECT_FALSE(first.has_image());
  ASSERT_TRUE(next.ParseFromString(Text(workload.Request(0))));
  EXPECT_FALSE(next.has_config());
  EXPECT_EQ(next.image().encoded(), "x");
}

TEST(WorkloadTest, KserveRequestHoldsAllPicturesInOneTensor) {
  for (const bool stream : {false, true}) {
    const Workload workload = MakeWorkload(Options(Api::kKserve, stream, 3), Pictures());
    EXPECT_EQ(workload.method(), stream ? "/inference.GRPCInferenceService/ModelStreamInfer"
                                        : "/inference.GRPCInferenceService/ModelInfer");
    inference::ModelInferRequest request;
    ASSERT_TRUE(request.ParseFromString(Text(workload.Request(1))));
    EXPECT_EQ(request.model_name(), "m");
    EXPECT_EQ(request.inputs(0).datatype(), "BYTES");
    EXPECT_THAT(request.inputs(0).shape(), ElementsAre(3));
    EXPECT_EQ(request.outputs(0).name(), "gem:p=4");
    EXPECT_EQ(request.parameters().at("input_height_px").string_param(), "128");
    EXPECT_EQ(request.parameters().at("decode").string_param(), "DECODE_MODE_SCALED");
    EXPECT_EQ(request.parameters().at("scales").string_param(), "1x0.5");
    ASSERT_EQ(request.raw_input_contents_size(), 1);
    // Each element with its length in four bytes, little-endian, before it.
    std::multiset<std::string> seen;
    std::string rest = request.raw_input_contents(0);
    while (rest.size() >= 4) {
      size_t length = 0;
      for (int i = 3; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(rest[i]);
      ASSERT_LE(length + 4, rest.size());
      seen.insert(rest.substr(4, length));
      rest = rest.substr(4 + length);
    }
    const auto p = Pictures();
    EXPECT_THAT(seen, UnorderedElementsAre(p[0], p[1], p[2]));
  }
}

TEST(WorkloadTest, WhatTheApiCannotCarryIsRefused) {
  EXPECT_THAT(Workload::Make(Options(Api::kPixpool, true, 2), {"x"}).status().message(),
              HasSubstr("holds one picture"));
  EXPECT_FALSE(Workload::Make({}, {}).ok());
}

TEST(WorkloadTest, KserveCarriesABackground) {
  WorkloadOptions options = Options(Api::kKserve, false, 1);
  options.config.mutable_input_options()->mutable_background()->set_red(255);
  options.config.mutable_input_options()->mutable_background()->set_blue(7);
  inference::ModelInferRequest request;
  ASSERT_TRUE(request.ParseFromString(Text(MakeWorkload(options, {"x"}).Request(0))));
  EXPECT_EQ(request.parameters().at("background").string_param(), "255,0,7");
}

}  // namespace
}  // namespace pixpool::bench
