#include "server/rpc/head_convert.h"

#include <gtest/gtest.h>

#include <limits>

#include "server/base/error.h"

namespace pixpool {
namespace {

TEST(HeadConvertTest, CommonFieldsAreTaken) {
  v1::Head head;
  head.set_head_id("mine");
  head.set_layer("stage3");
  head.set_l2_normalized(true);
  head.mutable_global_max();
  const auto request = HeadFromProto(head);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->id, "mine");
  EXPECT_EQ(request->layer, "stage3");
  EXPECT_EQ(request->kind, "global_max");
  EXPECT_TRUE(request->l2_normalized);
  EXPECT_TRUE(request->params.empty());
}

TEST(HeadConvertTest, ParametersOfEveryTypeAreTaken) {
  v1::Head pool;
  pool.mutable_max_pool()->add_kernel_size(3);
  pool.mutable_max_pool()->add_kernel_size(2);
  pool.mutable_max_pool()->set_ceil_mode(true);
  const auto max_pool = HeadFromProto(pool);
  ASSERT_TRUE(max_pool.ok());
  EXPECT_EQ(max_pool->params.at("kernel_size"), ParamValue(std::vector<int64_t>{3, 2}));
  EXPECT_EQ(max_pool->params.at("ceil_mode"), ParamValue(true));
  EXPECT_EQ(max_pool->params.size(), 2u);

  v1::Head scores;
  scores.mutable_class_scores()->set_top_k(0);
  scores.mutable_class_scores()->set_score_type(v1::SCORE_TYPE_LOGITS);
  const auto class_scores = HeadFromProto(scores);
  ASSERT_TRUE(class_scores.ok());
  EXPECT_EQ(class_scores->params.at("top_k"), ParamValue(int64_t{0}));
  EXPECT_EQ(class_scores->params.at("score_type"), ParamValue(std::string("logits")));
}

TEST(HeadConvertTest, FloatsMeanTheirShortestDecimal) {
  v1::Head head;
  head.mutable_gem()->set_eps(1e-6f);
  head.mutable_gem()->set_p(3.14159274f);
  const auto request = HeadFromProto(head);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(std::get<double>(request->params.at("eps")), 1e-6);
  EXPECT_EQ(static_cast<float>(std::get<double>(request->params.at("p"))), 3.14159274f);
}

TEST(HeadConvertTest, NonFiniteFloatsReachValidation) {
  v1::Head head;
  head.mutable_gem()->set_p(std::numeric_limits<float>::infinity());
  const auto request = HeadFromProto(head);
  ASSERT_TRUE(request.ok());
  const LayerInfo layer{.name = "last", .channels = 4, .stride = 1};
  const auto spec = ValidateHead(*request, {.layers = {&layer, 1}, .default_layer = "last"});
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(GetErrorDetails(spec.status())->field, "gem.p");
}

TEST(HeadConvertTest, PostProcessingIsTaken) {
  v1::Head head;
  head.mutable_gem();
  head.set_projection("whiten512");
  head.set_dimensions(128);
  head.set_encoding(v1::ENCODING_BINARY);
  const auto request = HeadFromProto(head);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(request->projection, "whiten512");
  EXPECT_EQ(request->dimensions, 128);
  EXPECT_EQ(request->encoding, Encoding::kBinary);
  head.set_encoding(static_cast<v1::Encoding>(99));
  EXPECT_EQ(GetErrorDetails(HeadFromProto(head).status())->field, "encoding");
}

TEST(HeadConvertTest, AnActivationMapCarriesClassBoxAndPicture) {
  HeadSpec head;
  head.type = FindHeadType("class_activation_map");
  HeadOutput output;
  output.scores = {{1, 0.75f}};
  output.box = {.left = 1, .top = 2, .width = 29, .height = 38};
  output.png = "png";
  v1::HeadResult result;
  HeadOutputToProto(head, {"ant", "bee"}, std::move(output), &result);
  EXPECT_EQ(result.class_scores_size(), 0);
  EXPECT_EQ(result.activation_map().class_score().label(), "bee");
  EXPECT_EQ(result.activation_map().class_score().score(), 0.75f);
  EXPECT_EQ(result.activation_map().box().right_px(), 30);
  EXPECT_EQ(result.activation_map().png(), "png");
}

TEST(HeadConvertTest, PathOfABadHeadIsItsIndex) {
  google::protobuf::RepeatedPtrField<v1::Head> heads;
  heads.Add()->mutable_gem();
  heads.Add();
  const auto requests = HeadsFromProto(heads);
  ASSERT_FALSE(requests.ok());
  EXPECT_EQ(GetErrorDetails(requests.status())->field, "heads[1].kind");
}

TEST(HeadConvertTest, TypeRowNamesDefaultsAndRanges) {
  const v1::HeadType row = HeadTypeToProto(*FindHeadType("gem"));
  EXPECT_EQ(row.name(), "gem");
  EXPECT_FALSE(row.description().empty());
  ASSERT_EQ(row.parameters_size(), 2);
  EXPECT_EQ(row.parameters(0).name(), "p");
  EXPECT_EQ(row.parameters(0).type(), "float");
  EXPECT_EQ(row.parameters(0).default_value(), "3");
  EXPECT_EQ(row.parameters(0).range(), "(0, 100]");
}

TEST(HeadConvertTest, ValuesDoNotOutliveTheirConversion) {
  HeadSpec head;
  head.type = FindHeadType("feature_map");
  HeadOutput output;
  output.values.assign(1000, 0.5f);
  output.indices.assign(1000, 3);
  v1::HeadResult result;
  HeadOutputToProto(head, {}, std::move(output), &result);
  EXPECT_EQ(result.values_size(), 1000);
  EXPECT_EQ(result.indices_size(), 1000);
  // While the answer is serialised it must not exist a third time.
  // NOLINTNEXTLINE(bugprone-use-after-move): it is to be empty
  EXPECT_EQ(output.values.capacity() + output.indices.capacity(), 0u);
}

}  // namespace
}  // namespace pixpool
