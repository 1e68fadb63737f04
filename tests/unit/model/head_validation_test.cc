#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "server/model/head_params.h"
#include "server/model/heads.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using Ints = std::vector<int64_t>;
using ::testing::HasSubstr;

struct BadHead {
  HeadRequest request;
  std::string field;
  ErrorReason reason = ErrorReason::kHeadInvalid;
};

HeadRequest Request(std::string kind, ParamMap params = {}) {
  return {.kind = std::move(kind), .params = std::move(params)};
}

TEST(ValidateHead, RefusesWithTheField) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<BadHead> cases = {
      {Request(""), "kind"},
      {Request("rmac"), "kind"},
      {{.kind = "gem", .layer = "middle"}, "layer", ErrorReason::kLayerNotFound},
      {{.id = std::string(65, 'x'), .kind = "gem"}, "head_id"},
      {Request("gem", {{"p", 0.0}}), "gem.p"},
      {Request("gem", {{"p", -1.0}}), "gem.p"},
      {Request("gem", {{"p", 100.5}}), "gem.p"},
      {Request("gem", {{"p", nan}}), "gem.p"},
      {Request("gem", {{"p", inf}}), "gem.p"},
      {Request("gem", {{"p", -inf}}), "gem.p"},
      {Request("gem", {{"p", 1e-60}}), "gem.p"},  // 0 as float32
      {Request("gem", {{"p", Ints{3}}}), "gem.p"},
      {Request("gem", {{"eps", 0.0}}), "gem.eps"},
      {Request("gem", {{"eps", 1.5}}), "gem.eps"},
      {Request("adaptive_avg"), "adaptive_avg.output_size"},
      {Request("adaptive_avg", {{"output_size", Ints{}}}), "adaptive_avg.output_size"},
      {Request("adaptive_avg", {{"output_size", Ints{0}}}), "adaptive_avg.output_size"},
      {Request("adaptive_avg", {{"output_size", Ints{1, 1025}}}), "adaptive_avg.output_size"},
      {Request("adaptive_avg", {{"output_size", Ints{1, 2, 3}}}), "adaptive_avg.output_size"},
      {Request("max_pool"), "max_pool.kernel_size"},
      {Request("max_pool", {{"kernel_size", Ints{0}}}), "max_pool.kernel_size"},
      {Request("max_pool", {{"kernel_size", Ints{2}}, {"stride", Ints{0}}}), "max_pool.stride"},
      {Request("max_pool", {{"kernel_size", Ints{2}}, {"padding", Ints{-1}}}), "max_pool.padding"},
      {Request("max_pool", {{"kernel_size", Ints{3}}, {"padding", Ints{2}}}), "max_pool.padding"},
      {Request("max_pool", {{"kernel_size", Ints{3}}, {"padding", Ints{2}}, {"dilation", Ints{3}}}),
       "max_pool.padding"},
      {Request("max_pool", {{"kernel_size", Ints{4, 3}}, {"padding", Ints{2}}}),
       "max_pool.padding"},
      {Request("max_pool", {{"kernel_size", Ints{2}}, {"dilation", Ints{0}}}), "max_pool.dilation"},
      {Request("avg_pool", {{"kernel_size", Ints{3}}, {"padding", Ints{2}}}), "avg_pool.padding"},
      {Request("avg_pool", {{"kernel_size", Ints{2}}, {"divisor_override", int64_t{0}}}),
       "avg_pool.divisor_override"},
      {Request("avg_pool", {{"kernel_size", Ints{2}}, {"dilation", Ints{1}}}), "avg_pool.dilation"},
      {Request("class_scores", {{"top_k", int64_t{-1}}}), "class_scores.top_k"},
      {Request("class_scores", {{"top_k", int64_t{100'001}}}), "class_scores.top_k"},
      {Request("class_scores", {{"score_type", std::string("sigmoid")}}),
       "class_scores.score_type"},
      {Request("class_scores", {{"score_type", std::string("")}}), "class_scores.score_type"},
      {{.kind = "class_scores", .layer = "early"}, "layer"},
      {{.kind = "class_scores", .l2_normalized = true}, "l2_normalized"},
  };
  for (const BadHead& c : cases) {
    const absl::StatusOr<HeadSpec> head = ValidateHead(c.request, TestScope());
    ASSERT_FALSE(head.ok()) << c.request.kind << " " << c.field;
    EXPECT_EQ(DetailsOf(head.status()).field, c.field) << head.status();
    EXPECT_EQ(DetailsOf(head.status()).reason, c.reason) << head.status();
  }
}

TEST(ValidateHead, MessagesNameValueAndRange) {
  const absl::Status status = ValidateHead(Request("gem", {{"p", 200.0}}), TestScope()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("gem.p is 200; it must be in (0, 100]"));
}

TEST(ValidateHead, ScoresNeedAClassifier) {
  HeadScope scope = TestScope();
  scope.classifier_layer = "";
  scope.class_count = 0;
  const absl::Status status = ValidateHead(Request("class_scores"), scope).status();
  EXPECT_EQ(DetailsOf(status).field, "class_scores");
}

TEST(ValidateHead, FillsInLayerAndDefaults) {
  const HeadSpec gem = MakeHead("gem");
  EXPECT_EQ(gem.layer, "late");
  EXPECT_EQ(gem.layer_index, 1);
  EXPECT_EQ(gem.canonical, "layer=late;kind=gem;p=3;eps=1e-06;l2_normalized=false");
  const HeadSpec early = MakeHead("gem", {}, true, "early");
  EXPECT_EQ(early.layer_index, 0);
  EXPECT_EQ(early.canonical, "layer=early;kind=gem;p=3;eps=1e-06;l2_normalized=true");
  const HeadSpec scores = MakeHead("class_scores");
  EXPECT_EQ(scores.class_count, 7);
  EXPECT_EQ(scores.canonical,
            "layer=late;kind=class_scores;score_type=softmax;l2_normalized=false");
}

TEST(ValidateHead, ListsBecomePairsAndStrideTheKernel) {
  const HeadSpec head = MakeHead("max_pool", {{"kernel_size", Ints{3}}});
  EXPECT_EQ(head.Ints("kernel_size"), (Ints{3, 3}));
  EXPECT_EQ(head.Ints("stride"), (Ints{3, 3}));
  EXPECT_EQ(head.canonical,
            "layer=late;kind=max_pool;kernel_size=3x3;stride=3x3;padding=0x0;dilation=1x1;"
            "ceil_mode=false;l2_normalized=false");
  EXPECT_EQ(MakeHead("max_pool", {{"kernel_size", int64_t{3}}, {"stride", Ints{3, 3}}}).canonical,
            head.canonical);
  EXPECT_THAT(MakeHead("avg_pool", {{"kernel_size", Ints{2, 3}}}).canonical,
              HasSubstr(";divisor_override=none;"));
}

TEST(ValidateHead, AFloatIsTheSameFromEverySource) {
  // 3.3 from JSON is a double, from a request it is a float.
  const HeadSpec wide = MakeHead("gem", {{"p", 3.3}});
  const HeadSpec narrow = MakeHead("gem", {{"p", static_cast<double>(3.3f)}});
  EXPECT_EQ(wide.canonical, narrow.canonical);
  EXPECT_THAT(wide.canonical, HasSubstr(";p=3.3;"));
  EXPECT_EQ(MakeHead("gem", {{"p", int64_t{3}}}).canonical, MakeHead("gem").canonical);
}

TEST(ValidateHead, ParametersOutsideTheSpaceLeaveTheTextAlone) {
  EXPECT_EQ(MakeHead("class_scores", {{"top_k", int64_t{1}}}).canonical,
            MakeHead("class_scores").canonical);
  const ParamMap plain = {{"kernel_size", Ints{2}}};
  const ParamMap indices = {{"kernel_size", Ints{2}}, {"return_indices", true}};
  EXPECT_EQ(MakeHead("max_pool", plain).canonical, MakeHead("max_pool", indices).canonical);
}

TEST(ValidateHead, IdsCountCharactersNotBytes) {
  std::string id;
  for (int i = 0; i < 64; ++i) id += "\xc3\xa9";
  EXPECT_TRUE(ValidateHead({.id = id, .kind = "gem"}, TestScope()).ok());
}

std::vector<std::string> Ids(const std::vector<HeadRequest>& requests) {
  const auto specs = ValidateHeads(requests, TestScope());
  EXPECT_TRUE(specs.ok()) << specs.status();
  std::vector<std::string> ids;
  for (const HeadSpec& spec : *specs) ids.push_back(spec.id);
  return ids;
}

TEST(ValidateHeads, AnEmptyListIsOneGlobalAvg) {
  const auto specs = ValidateHeads({}, TestScope());
  ASSERT_EQ(specs->size(), 1u);
  EXPECT_EQ((*specs)[0].kind, "global_avg");
  EXPECT_EQ((*specs)[0].id, "global_avg");
}

TEST(ValidateHeads, DefaultIdsAreNumberedAndMakeWayForGivenOnes) {
  EXPECT_THAT(Ids({Request("gem"), Request("global_max"), Request("gem"), Request("gem")}),
              testing::ElementsAre("gem", "global_max", "gem_2", "gem_3"));
  EXPECT_THAT(Ids({Request("gem"), {.id = "gem", .kind = "global_max"}, Request("gem")}),
              testing::ElementsAre("gem_2", "gem", "gem_3"));
}

TEST(ValidateHeads, ErrorsNameTheHead) {
  std::vector<HeadRequest> requests = {Request("gem"), Request("gem", {{"p", 0.0}})};
  EXPECT_EQ(DetailsOf(ValidateHeads(requests, TestScope()).status()).field, "heads[1].gem.p");
  requests = {{.id = "a", .kind = "gem"}, {.id = "a", .kind = "global_avg"}};
  EXPECT_EQ(DetailsOf(ValidateHeads(requests, TestScope()).status()).field, "heads[1].head_id");
}

TEST(ParamText, IsTheShortestThatReadsBack) {
  EXPECT_EQ(ParamText(0.1), "0.1");
  EXPECT_EQ(ParamText(1e-6), "1e-06");
  EXPECT_EQ(ParamText(3.0), "3");
  EXPECT_EQ(ParamText(int64_t{-7}), "-7");
  EXPECT_EQ(ParamText(true), "true");
  EXPECT_EQ(ParamText(Ints{2, 3}), "2x3");
  EXPECT_EQ(ParamText(std::string("softmax")), "softmax");
  const float third = 1.0f / 3;
  EXPECT_EQ(std::stof(ParamText(static_cast<double>(third))), third);
}

TEST(RangeText, ReadsWell) {
  EXPECT_EQ(FindHeadType("gem")->params[0].RangeText(), "(0, 100]");
  EXPECT_EQ(FindHeadType("max_pool")->params[0].RangeText(), "[1, 1024]");
  EXPECT_EQ(FindHeadType("max_pool")->params[4].RangeText(), "true|false");
  EXPECT_EQ(FindHeadType("class_scores")->params[1].RangeText(), "softmax|logits");
  EXPECT_EQ(FindHeadType("avg_pool")->params[5].RangeText(), "[-2147483648, 2147483647]");
}

}  // namespace
}  // namespace pixpool
