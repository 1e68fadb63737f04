// Heads on the tokens of a transformer and on vectors of the graph: what they are validated to, and
// what they give.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "server/heads/head_compute.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

HeadSpec Made(const std::string& kind, const ParamMap& params = {}, const std::string& layer = "") {
  return MakeHead(kind, params, false, layer, TokenScope());
}

// "field: message" of a head that must not be valid.
std::string Refusal(const HeadRequest& request, const HeadScope& scope = TokenScope()) {
  const absl::Status status = ValidateHead(request, scope).status();
  EXPECT_FALSE(status.ok()) << request.kind;
  if (status.ok()) return "";
  EXPECT_EQ(DetailsOf(status).reason, ErrorReason::kHeadInvalid) << status;
  return DetailsOf(status).field + " | " + std::string(status.message());
}

HeadRequest Register(int64_t number, const std::string& layer = "") {
  return {.kind = "class_token", .layer = layer, .params = {{"register", number}}};
}

HeadRequest Named(const std::string& name) {
  return {.kind = "bundle_head", .params = {{"name", name}}};
}

TEST(ClassToken, ReadsTheTokensOfItsLayerAlone) {
  const HeadSpec head = Made("class_token");
  EXPECT_EQ(head.layer, "late");
  EXPECT_EQ(head.source.map, -1);
  EXPECT_EQ(head.source.prefix_tokens, 4);  // after three maps and those of layer register
  EXPECT_EQ(head.source.vector, -1);
  EXPECT_EQ(head.token_index, 0);
  EXPECT_EQ(head.canonical, "layer=late;kind=class_token;register=none;l2_normalized=false");
  EXPECT_EQ(Made("class_token", {{"register", int64_t{2}}}).token_index, 2);
  EXPECT_EQ(Made("class_token", {{"register", int64_t{2}}}).pooling,
            "layer=late;kind=class_token;register=2");
}

TEST(ClassToken, RegistersOfALayerWithoutAClassTokenCountFromTheFirst) {
  EXPECT_EQ(Made("class_token", {{"register", int64_t{1}}}, "register").token_index, 0);
  EXPECT_EQ(Made("class_token", {{"register", int64_t{2}}}, "register").token_index, 1);
}

TEST(ClassToken, IsRefusedByFieldWhereTheLayerHasNoSuchToken) {
  EXPECT_THAT(Refusal({.kind = "class_token", .layer = "early"}),
              HasSubstr("layer | layer 'early' has no class token; those that have one: late"));
  EXPECT_THAT(Refusal({.kind = "class_token", .layer = "register"}),
              HasSubstr("class_token.register | class_token.register: must be set, 1 to 2: layer "
                        "'register' has registers, but no class token"));
  EXPECT_THAT(Refusal(Register(3)),
              HasSubstr("class_token.register | class_token.register: is 3; the registers of layer "
                        "'late' are 1 to 2"));
  EXPECT_THAT(Refusal(Register(1, "early")), HasSubstr("layer 'early' has no registers"));
  EXPECT_THAT(Refusal(Register(0)),
              HasSubstr("class_token.register is 0; it must be in [1, 1024]"));
  EXPECT_THAT(Refusal({.kind = "class_token"}, TestScope()),
              HasSubstr("layer 'late' has no class token; no layer of the model has one"));
}

TEST(MeanToken, ReadsMapAndTokensWhereThereAreAny) {
  EXPECT_EQ(Made("mean_token").source.map, 2);
  EXPECT_EQ(Made("mean_token").source.prefix_tokens, 4);
  EXPECT_EQ(Made("mean_token", {}, "early").source.prefix_tokens, -1);
}

TEST(Vectors, AreReadWithoutALayer) {
  const HeadSpec embedding = Made("embedding");
  EXPECT_EQ(embedding.layer, "");
  EXPECT_EQ(embedding.layer_index, -1);
  EXPECT_EQ(embedding.source.map, -1);
  EXPECT_EQ(embedding.source.vector, 5);
  EXPECT_EQ(embedding.canonical, "vector=embedding;kind=embedding;l2_normalized=false");
  const HeadSpec vlad = Made("bundle_head", {{"name", std::string("vlad")}});
  EXPECT_EQ(vlad.source.vector, 6);
  EXPECT_EQ(vlad.canonical, "vector=vlad;kind=bundle_head;name=vlad;l2_normalized=false");
  const HeadExtents extents = ExtentsOf(vlad, TokenScope().layers, {224, 224}, 1);
  EXPECT_EQ(extents.c, 3);
  EXPECT_EQ(extents.h * extents.w, 1);
}

TEST(Vectors, AreRefusedByFieldWithWhatTheBundleHas) {
  EXPECT_THAT(Refusal({.kind = "embedding", .layer = "late"}),
              HasSubstr("layer | embedding reads a vector that the model gives, and no layer"));
  EXPECT_THAT(Refusal({.kind = "embedding"}, TestScope()),
              HasSubstr("embedding | the bundle has no vector 'embedding'; it has none"));
  EXPECT_THAT(Refusal(Named("netvlad")),
              HasSubstr("bundle_head.name | bundle_head.name: the bundle has no vector 'netvlad'; "
                        "it has embedding, vlad"));
  EXPECT_THAT(Refusal(Named("embedding")), HasSubstr("ask for the head embedding"));
  EXPECT_THAT(Refusal({.kind = "bundle_head"}), HasSubstr("bundle_head.name is required"));
}

TEST(ClassScores, StandOnAVectorWhereTheClassifierDoes) {
  const HeadSpec scores = Made("class_scores");
  EXPECT_EQ(scores.source.vector, 5);
  EXPECT_EQ(scores.source.map, -1);
  EXPECT_EQ(scores.class_count, 7);
  EXPECT_EQ(scores.canonical,
            "vector=embedding;kind=class_scores;score_type=softmax;l2_normalized=false");
  EXPECT_THAT(Refusal({.kind = "class_scores", .layer = "late"}),
              HasSubstr("layer | class_scores reads a vector"));
  EXPECT_THAT(Refusal({.kind = "class_scores", .l2_normalized = true}), HasSubstr("l2_normalized"));
}

TEST(ClassActivationMap, IsRefusedWhereTheClassifierStandsOnAVector) {
  EXPECT_THAT(Refusal({.kind = "class_activation_map"}),
              HasSubstr("class_activation_map | class_activation_map needs a classifier on the "
                        "average of a map; that of this model stands on the vector 'embedding'"));
  EXPECT_THAT(Refusal({.kind = "class_activation_map"}),
              HasSubstr("class_scores works; mean_map shows where a layer responds"));
}

TEST(HeadFits, SaysWhichKindsAModelIsFor) {
  const auto fits = [](const char* kind, const HeadScope& scope) {
    return HeadFits(*FindHeadType(kind), scope);
  };
  for (const char* kind :
       {"class_token", "mean_token", "embedding", "bundle_head", "class_scores", "gem"}) {
    EXPECT_TRUE(fits(kind, TokenScope())) << kind;
  }
  EXPECT_FALSE(fits("class_activation_map", TokenScope()));
  for (const char* kind : {"class_token", "embedding", "bundle_head"}) {
    EXPECT_FALSE(fits(kind, TestScope())) << kind;
  }
  for (const char* kind : {"mean_token", "class_scores", "class_activation_map"}) {
    EXPECT_TRUE(fits(kind, TestScope())) << kind;
  }
  HeadScope alone = TokenScope();
  alone.vectors = alone.vectors.first(1);
  EXPECT_FALSE(fits("bundle_head", alone));
  EXPECT_TRUE(fits("embedding", alone));
}

TEST(Tensors, HaveNeitherTokensNorVectors) {
  const LayerInfo layer{.channels = 4};
  for (const char* kind : {"class_token", "mean_token", "embedding", "bundle_head", "mean_map"}) {
    HeadRequest request = {.kind = kind};
    if (request.kind == "bundle_head") request = Named("vlad");
    const std::string name = kind;
    EXPECT_EQ(Refusal(request, TensorScope(layer, false)),
              name + " | " + name + " needs a model; a tensor comes without one");
  }
}

// A projection fitted on the embedding.
TEST(Projection, MayBeOfAVector) {
  Projection projection;
  projection.name = "white";
  projection.vector = "embedding";
  projection.head_kind = "embedding";
  projection.input_dimensions = 12;
  projection.output_dimensions = 4;
  const std::vector<std::shared_ptr<const Projection>> projections = {
      std::make_shared<Projection>(projection)};
  HeadScope scope = TokenScope();
  scope.projections = projections;
  const auto head =
      ValidateHead({.kind = "embedding", .projection = "white", .dimensions = 3}, scope);
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->post.dimensions, 3);
  EXPECT_THAT(Refusal({.kind = "class_token", .projection = "white"}, scope),
              HasSubstr("was fitted on vector 'embedding', not layer 'late'"));
}

std::vector<float> Values(const HeadSpec& head, const HeadInput& input, int64_t row) {
  const absl::StatusOr<HeadTensors> tensors = ComputeHead(head, input);
  EXPECT_TRUE(tensors.ok()) << tensors.status();
  return tensors.ok() ? TakeRow(head, *tensors, row).values : std::vector<float>();
}

// Tokens of two pictures, [2, 3, 2]: 0 to 11.
at::Tensor Tokens() { return at::arange(12, at::TensorOptions(at::kFloat)).view({2, 3, 2}); }

TEST(ClassToken, GivesTheTokenOfEachPicture) {
  MapStatistics none((at::Tensor()));
  const HeadInput input = {.shared = none, .prefix_tokens = Tokens()};
  EXPECT_THAT(Values(Made("class_token"), input, 1), ElementsAre(6, 7));
  EXPECT_THAT(Values(Made("class_token", {{"register", int64_t{2}}}), input, 0), ElementsAre(4, 5));
}

TEST(MeanToken, CountsEveryToken) {
  const at::Tensor map = at::arange(24, at::TensorOptions(at::kFloat)).view({2, 2, 2, 3});
  MapStatistics shared(map);
  const HeadInput input = {.shared = shared, .prefix_tokens = Tokens()};
  const at::Tensor all = at::cat({Tokens(), map.flatten(2).transpose(1, 2)}, 1).mean(1);
  for (int64_t row = 0; row < 2; ++row) {
    const std::vector<float> got = Values(Made("mean_token"), input, row);
    ASSERT_EQ(got.size(), 2u);
    for (int64_t c = 0; c < 2; ++c) {
      EXPECT_NEAR(got[static_cast<size_t>(c)], all[row][c].item<float>(), 1e-5);
    }
  }
  const HeadInput map_alone = {.shared = shared};
  EXPECT_EQ(Values(Made("mean_token", {}, "early"), map_alone, 1),
            Values(Made("global_avg"), map_alone, 1));
}

TEST(Vectors, ComeAsTheyAreAndIntoTheClassifier) {
  MapStatistics none((at::Tensor()));
  ModelTensors model;
  model.classifier = ClassifierTensors{.weight = at::ones({7, 6}), .bias = at::zeros({7})};
  const HeadInput input = {.shared = none, .model = &model, .vector = Tokens().flatten(1)};
  EXPECT_THAT(Values(Made("embedding"), input, 1), ElementsAre(6, 7, 8, 9, 10, 11));
  EXPECT_THAT(Values(Made("bundle_head", {{"name", std::string("vlad")}}), input, 0),
              ElementsAre(0, 1, 2, 3, 4, 5));
  const HeadSpec logits = Made("class_scores", {{"score_type", std::string("logits")}});
  const absl::StatusOr<HeadTensors> tensors = ComputeHead(logits, input);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  EXPECT_EQ(TakeRow(logits, *tensors, 1).scores[0].score, 6 + 7 + 8 + 9 + 10 + 11);
}

}  // namespace
}  // namespace pixpool
