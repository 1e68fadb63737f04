#include "client/cpp/heads.h"

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace pixpool::client {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::HasSubstr;

v1::Head Parsed(const std::string& text) {
  const absl::StatusOr<v1::Head> head = ParseHead(text);
  EXPECT_TRUE(head.ok()) << head.status();
  return head.ok() ? *head : v1::Head();
}

std::string Complaint(const std::string& text) {
  const absl::StatusOr<v1::Head> head = ParseHead(text);
  EXPECT_EQ(head.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(head.status().message());
}

TEST(HeadsTest, EveryKindIsReadByItsName) {
  const std::vector<std::string> kinds = HeadKinds();
  const auto* oneof = v1::Head::descriptor()->FindOneofByName("kind");
  EXPECT_EQ(static_cast<int>(kinds.size()), oneof->field_count());
  for (const std::string& kind : kinds) {
    const v1::Head head = Parsed(kind);
    EXPECT_NE(head.kind_case(), v1::Head::KIND_NOT_SET) << kind;
    const auto* field = head.GetReflection()->GetOneofFieldDescriptor(
        head, v1::Head::descriptor()->FindOneofByName("kind"));
    EXPECT_EQ(field->name(), kind);
  }
}

TEST(HeadsTest, BuildersEqualTheirText) {
  EXPECT_TRUE(MessageDifferencer::Equals(GlobalAvg(), Parsed("global_avg")));
  EXPECT_TRUE(MessageDifferencer::Equals(GlobalMax(), Parsed("global_max")));
  EXPECT_TRUE(MessageDifferencer::Equals(Gem(2.5f), Parsed("gem:p=2.5")));
  EXPECT_TRUE(MessageDifferencer::Equals(Gem(), Parsed("gem")));
  EXPECT_TRUE(MessageDifferencer::Equals(ClassScores(), Parsed("class_scores")));
  EXPECT_TRUE(MessageDifferencer::Equals(ClassScores(7), Parsed("class_scores:top_k=7")));
}

TEST(HeadsTest, ParametersOfKindAndHead) {
  const v1::Head head = Parsed("gem:p=3,eps=1e-5,layer=stage5,l2,id=mine");
  EXPECT_FLOAT_EQ(head.gem().p(), 3);
  EXPECT_FLOAT_EQ(head.gem().eps(), 1e-5f);
  EXPECT_EQ(head.layer(), "stage5");
  EXPECT_TRUE(head.l2_normalized());
  EXPECT_EQ(head.head_id(), "mine");
  EXPECT_FALSE(Parsed("gem:l2_normalized=false").l2_normalized());
  EXPECT_EQ(Parsed("gem:encoding=float16,dimensions=64").encoding(), v1::ENCODING_FLOAT16);
}

TEST(HeadsTest, ListsBoolsEnumsTexts) {
  const v1::Head pool = Parsed("max_pool:kernel_size=3x2, stride=2, ceil_mode, dilation=1X1");
  EXPECT_THAT(pool.max_pool().kernel_size(), ElementsAre(3, 2));
  EXPECT_THAT(pool.max_pool().stride(), ElementsAre(2));
  EXPECT_THAT(pool.max_pool().dilation(), ElementsAre(1, 1));
  EXPECT_TRUE(pool.max_pool().ceil_mode());
  const v1::Head avg = Parsed("avg_pool:kernel_size=2,count_include_pad=false");
  EXPECT_TRUE(avg.avg_pool().has_count_include_pad());
  EXPECT_FALSE(avg.avg_pool().count_include_pad());
  EXPECT_EQ(Parsed("class_scores:score_type=logits").class_scores().score_type(),
            v1::SCORE_TYPE_LOGITS);
  EXPECT_EQ(Parsed("class_scores:score_type=SCORE_TYPE_SOFTMAX").class_scores().score_type(),
            v1::SCORE_TYPE_SOFTMAX);
  EXPECT_THAT(Parsed("spatial_pyramid:levels=1x2x4").spatial_pyramid().levels(),
              ElementsAre(1, 2, 4));
  EXPECT_EQ(Parsed("conv_pool:bundle_filter=blur").conv_pool().bundle_filter(), "blur");
}

TEST(HeadsTest, WhatFollowsTheVector) {
  const v1::Head head = Parsed("gem:projection=whiten512,dimensions=128,encoding=float16");
  EXPECT_EQ(head.projection(), "whiten512");
  EXPECT_TRUE(head.has_dimensions());
  EXPECT_EQ(head.dimensions(), 128);
  EXPECT_EQ(head.encoding(), v1::ENCODING_FLOAT16);
  EXPECT_TRUE(head.has_gem());
  EXPECT_EQ(Parsed("rmac:encoding=int8").encoding(), v1::ENCODING_INT8);
  EXPECT_EQ(Parsed("rmac:encoding=BINARY").encoding(), v1::ENCODING_BINARY);
  EXPECT_THAT(Complaint("gem:encoding=int4"),
              HasSubstr("must be one of float32, float16, int8, binary, not \"int4\""));
}

TEST(HeadsTest, GridsFiltersAndActivationMaps) {
  const v1::Head pyramid = Parsed("spatial_pyramid:levels=1x2x4,pooling=avg");
  EXPECT_THAT(pyramid.spatial_pyramid().levels(), ElementsAre(1, 2, 4));
  EXPECT_EQ(pyramid.spatial_pyramid().pooling(), v1::WINDOW_POOLING_AVG);
  const v1::Head mean = Parsed("conv_pool:kernel_size=2,mean_filter");
  EXPECT_THAT(mean.conv_pool().kernel_size(), ElementsAre(2));
  EXPECT_TRUE(mean.conv_pool().mean_filter());
  const v1::Head unpool = Parsed("max_unpool:kernel_size=2,output_size=7x7");
  EXPECT_THAT(unpool.max_unpool().kernel_size(), ElementsAre(2));
  EXPECT_THAT(unpool.max_unpool().output_size(), ElementsAre(7, 7));
  const v1::Head map = Parsed("class_activation_map:format=png_overlay,class_index=0");
  EXPECT_EQ(map.class_activation_map().format(), v1::ACTIVATION_MAP_FORMAT_PNG_OVERLAY);
  EXPECT_TRUE(map.class_activation_map().has_class_index());
  EXPECT_EQ(Parsed("class_activation_map:format=png").class_activation_map().format(),
            v1::ACTIVATION_MAP_FORMAT_PNG);
}

TEST(HeadsTest, ErrorsListTheValidNames) {
  EXPECT_THAT(Complaint("gme:p=3"), HasSubstr("no kind \"gme\"; kinds are global_avg, global_max"));
  EXPECT_THAT(Complaint(""), HasSubstr("kinds are"));
  EXPECT_THAT(Complaint("layer:p=3"), HasSubstr("no kind \"layer\""));
  EXPECT_THAT(Complaint("gem:q=3"),
              HasSubstr("no parameter \"q\"; gem takes p, eps; every head takes head_id, layer"));
  EXPECT_THAT(Complaint("global_avg:p=3"), HasSubstr("takes no parameters of its own"));
  EXPECT_THAT(Complaint("gem:gem=3"), HasSubstr("no parameter \"gem\""));
  EXPECT_THAT(Complaint("class_scores:score_type=probs"),
              HasSubstr("must be one of softmax, logits, not \"probs\""));
}

TEST(HeadsTest, ErrorsNameTheValue) {
  EXPECT_THAT(Complaint("gem:p=three"), HasSubstr("\"p\" must be a number, not \"three\""));
  EXPECT_THAT(Complaint("gem:p=nan"), HasSubstr("\"p\" must be a number"));
  EXPECT_THAT(Complaint("gem:p="), HasSubstr("\"p\" must be a number"));
  EXPECT_THAT(Complaint("gem:p"), HasSubstr("\"p\" needs a value"));
  EXPECT_THAT(Complaint("gem:layer="), HasSubstr("\"layer\" must be a text"));
  EXPECT_THAT(Complaint("gem:p=1,p=2"), HasSubstr("\"p\" is given twice"));
  EXPECT_THAT(Complaint("max_pool:stride=2,stride=2"), HasSubstr("\"stride\" is given twice"));
  EXPECT_THAT(Complaint("max_pool:kernel_size=3x"),
              HasSubstr("must be a whole number, or several joined by x, not \"3x\""));
  EXPECT_THAT(Complaint("max_pool:kernel_size=99999999999"), HasSubstr("whole number"));
  EXPECT_THAT(Complaint("max_pool:ceil_mode=maybe"), HasSubstr("true or false"));
  EXPECT_THAT(Complaint("conv_pool:mean_filter,bundle_filter=x"),
              HasSubstr("\"bundle_filter\" and \"mean_filter\" exclude each other"));
  EXPECT_THAT(Complaint("gem:"), HasSubstr("nothing follows the colon"));
  EXPECT_THAT(Complaint("gem:p=3,"), HasSubstr("no parameter \"\""));
}

}  // namespace
}  // namespace pixpool::client
