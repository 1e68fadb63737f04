#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "server/heads/head_params.h"
#include "server/heads/heads.h"
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
      {Request("netvlad"), "kind"},
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
  EXPECT_EQ((*specs)[0].kind(), "global_avg");
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

// One projection for the maps of layer "late" (10 channels) and one filter.
struct BundleData {
  std::vector<std::shared_ptr<const Projection>> projections;
  std::vector<FilterInfo> filters;
  HeadScope scope = TestScope();

  BundleData() {
    Projection projection;
    projection.name = "white";
    projection.layer = "late";
    projection.head_kind = "gem";
    projection.input_dimensions = 10;
    projection.output_dimensions = 4;
    projection.sha256 = "digest";
    projections.push_back(std::make_shared<Projection>(projection));
    FilterInfo filter;
    filter.name = "learnt";
    filter.layer = "late";
    filter.kernel_size = {3, 2};
    filter.stride = {2, 1};
    filter.output_channels = 5;
    filter.sha256 = "weights";
    filters.push_back(filter);
    scope.projections = projections;
    scope.filters = filters;
  }

  std::string FieldOf(const HeadRequest& request) const {
    const auto head = ValidateHead(request, scope);
    return head.ok() ? "valid" : DetailsOf(head.status()).field;
  }
};

TEST(Projection, IsForVectorsOfItsLayerAndLength) {
  const BundleData data;
  EXPECT_EQ(data.FieldOf({.kind = "gem", .projection = "white"}), "valid");
  EXPECT_EQ(data.FieldOf({.kind = "gem", .projection = "white", .dimensions = 4}), "valid");
  EXPECT_EQ(data.FieldOf({.kind = "gem", .projection = "nope"}), "projection");
  EXPECT_EQ(data.FieldOf({.kind = "gem", .layer = "early", .projection = "white"}), "projection");
  EXPECT_EQ(data.FieldOf({.kind = "cat_avg_max", .projection = "white"}), "projection");
  EXPECT_EQ(data.FieldOf({.kind = "feature_map", .projection = "white"}), "projection");
  EXPECT_EQ(data.FieldOf({.kind = "class_scores", .projection = "white"}), "projection");
  EXPECT_EQ(data.FieldOf({.kind = "gem", .dimensions = 4}), "dimensions");
  EXPECT_EQ(data.FieldOf({.kind = "gem", .projection = "white", .dimensions = 0}), "dimensions");
  EXPECT_EQ(data.FieldOf({.kind = "gem", .projection = "white", .dimensions = 5}), "dimensions");
}

TEST(Projection, AllDimensionsAreNone) {
  const BundleData data;
  const auto all = ValidateHead({.kind = "gem", .projection = "white"}, data.scope);
  const auto four =
      ValidateHead({.kind = "gem", .projection = "white", .dimensions = 4}, data.scope);
  EXPECT_EQ(all->canonical, four->canonical);
  EXPECT_EQ(all->pooling, MakeHead("gem").pooling);
  EXPECT_NE(all->canonical, MakeHead("gem").canonical);
}

TEST(ConvPool, TakesTheFiltersSizeAndStep) {
  const BundleData data;
  const auto head = ValidateHead(
      {.kind = "conv_pool", .params = {{"bundle_filter", std::string("learnt")}}}, data.scope);
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->Ints("kernel_size"), (Ints{3, 2}));
  EXPECT_EQ(head->Ints("stride"), (Ints{2, 1}));
  EXPECT_EQ(FindHeadType("conv_pool")->value_count(*head, 10, 7, 7), 5 * 3 * 6);
  EXPECT_NE(head->canonical.find("filter=weights"), std::string::npos);
}

TEST(ConvPool, RefusesWithTheField) {
  const BundleData data;
  const std::string name = "learnt";
  const auto field = [&](const ParamMap& params, const std::string& layer = "") {
    return data.FieldOf({.kind = "conv_pool", .layer = layer, .params = params});
  };
  EXPECT_EQ(field({{"bundle_filter", name}, {"kernel_size", Ints{3, 2}}}), "valid");
  EXPECT_EQ(field({{"bundle_filter", name}, {"kernel_size", Ints{3}}}), "conv_pool.kernel_size");
  EXPECT_EQ(field({{"bundle_filter", std::string("nope")}}), "conv_pool.bundle_filter");
  EXPECT_EQ(field({{"bundle_filter", name}}, "early"), "conv_pool.bundle_filter");
  EXPECT_EQ(field({{"bundle_filter", name}, {"mean_filter", true}}), "conv_pool.filter");
  EXPECT_EQ(field({}), "conv_pool.filter");
  EXPECT_EQ(field({{"mean_filter", false}}), "conv_pool.mean_filter");
  EXPECT_EQ(field({{"mean_filter", true}}), "conv_pool.kernel_size");
}

TEST(AvgPool, CountIncludePadWithoutPaddingIsNoOtherSpace) {
  const ParamMap plain = {{"kernel_size", Ints{2}}};
  ParamMap excluded = plain;
  excluded["count_include_pad"] = false;
  EXPECT_EQ(MakeHead("avg_pool", excluded).canonical, MakeHead("avg_pool", plain).canonical);
  ParamMap padded = plain;
  padded["padding"] = Ints{1};
  excluded["padding"] = Ints{1};
  EXPECT_NE(MakeHead("avg_pool", excluded).canonical, MakeHead("avg_pool", padded).canonical);
}

TEST(SpatialPyramid, LevelsAreAListOfTheirOwn) {
  EXPECT_EQ(MakeHead("spatial_pyramid").Ints("levels"), (Ints{1, 2, 4}));
  EXPECT_EQ(MakeHead("spatial_pyramid", {{"levels", Ints{3}}}).Ints("levels"), (Ints{3}));
  const HeadRequest many = {.kind = "spatial_pyramid", .params = {{"levels", Ints(9, 1)}}};
  EXPECT_EQ(DetailsOf(ValidateHead(many, TestScope()).status()).field, "spatial_pyramid.levels");
}

TEST(MeanMap, TakesAnyLayerAndNoStepForVectors) {
  for (const LayerInfo& layer : TestScope().layers) {
    const auto spec = ValidateHead({.kind = "mean_map", .layer = layer.name}, TestScope());
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_EQ(spec->layer, layer.name);
  }
  const HeadRequest unit = {.kind = "mean_map", .l2_normalized = true};
  EXPECT_EQ(DetailsOf(ValidateHead(unit, TestScope()).status()).field, "l2_normalized");
  const HeadRequest small = {.kind = "mean_map", .encoding = Encoding::kInt8};
  EXPECT_EQ(DetailsOf(ValidateHead(small, TestScope()).status()).field, "encoding");
}

TEST(ClassActivationMap, ClassIndexIsOneOfTheClasses) {
  const HeadRequest last = {.kind = "class_activation_map",
                            .params = {{"class_index", int64_t{6}}}};
  EXPECT_TRUE(ValidateHead(last, TestScope()).ok());
  const HeadRequest beyond = {.kind = "class_activation_map",
                              .params = {{"class_index", int64_t{7}}}};
  EXPECT_EQ(DetailsOf(ValidateHead(beyond, TestScope()).status()).field,
            "class_activation_map.class_index");
}

}  // namespace
}  // namespace pixpool
