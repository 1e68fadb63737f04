// Batches of mixed heads through the tiny model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "server/heads/pool_tensor.h"
#include "server/heads/region_pooling.h"
#include "server/model/model.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using Ints = std::vector<int64_t>;

class RunBatchTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto bundle = OpenBundle(TinyBundleDir().string());
    ASSERT_TRUE(bundle.ok()) << bundle.status();
    ModelOptions options;
    options.device = "cpu";
    options.instances = 2;
    auto model = LoadModel(*bundle, options);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = model->release();
  }
  static void TearDownTestSuite() {
    delete model_;
    model_ = nullptr;
  }

  static std::vector<ModelResult> Run(const std::vector<ModelTask>& tasks, int instance = 0) {
    std::vector<ModelResult> results(tasks.size());
    ModelRunTimes times;
    model_->RunBatch({.instance = instance}, tasks, absl::MakeSpan(results), &times);
    EXPECT_TRUE(!results[0].status.ok() || times.backbone.count() > 0);
    return results;
  }

  static HeadOutput RunOne(const Image& picture, const HeadSpec& head) {
    std::vector<ModelResult> results = Run({{&picture, absl::MakeConstSpan(&head, 1)}});
    EXPECT_TRUE(results[0].status.ok()) << results[0].status;
    return results[0].status.ok() ? results[0].outputs[0] : HeadOutput();
  }

  static Model* model_;
};

Model* RunBatchTest::model_ = nullptr;

std::vector<HeadSpec> AllHeads() {
  return {
      MakeHead("global_avg"),
      MakeHead("global_max", {}, true),
      MakeHead("avg_max", {}, false, "early"),
      MakeHead("cat_avg_max"),
      MakeHead("gem", {{"p", 2.0}}),
      MakeHead("adaptive_avg", {{"output_size", Ints{2, 3}}}),
      MakeHead("adaptive_max", {{"output_size", Ints{2}}, {"return_indices", true}}),
      MakeHead("max_pool", {{"kernel_size", Ints{3}}, {"return_indices", true}}, false, "early"),
      MakeHead("avg_pool", {{"kernel_size", Ints{2}}}, true),
      MakeHead("feature_map"),
      MakeHead("feature_map", {}, false, "early"),
      MakeHead("class_scores", {{"top_k", int64_t{0}}}),
      MakeHead("class_activation_map"),
      MakeHead("class_activation_map", {{"class_index", int64_t{2}}}),
      MakeHead("lse"),
      MakeHead("lp"),
      MakeHead("rmac", {}, true),
      MakeHead("crow"),
      MakeHead("spoc", {}, false, "early"),
      MakeHead("scda", {}, false, "early"),
      MakeHead("spatial_pyramid"),
      MakeHead("max_unpool", {{"kernel_size", Ints{2}}}, false, "early"),
      MakeHead("conv_pool", {{"kernel_size", Ints{2}}, {"mean_filter", true}})};
}

void ExpectEqual(const HeadOutput& a, const HeadOutput& b, float tolerance,
                 const std::string& what) {
  EXPECT_EQ(a.shape, b.shape) << what;
  EXPECT_EQ(a.indices, b.indices) << what;
  ASSERT_EQ(a.values.size(), b.values.size()) << what;
  for (size_t i = 0; i < a.values.size(); ++i) {
    ASSERT_NEAR(a.values[i], b.values[i], tolerance) << what << " at " << i;
  }
  ASSERT_EQ(a.scores.size(), b.scores.size()) << what;
  for (size_t i = 0; i < a.scores.size(); ++i) {
    EXPECT_EQ(a.scores[i].class_index, b.scores[i].class_index) << what;
    EXPECT_NEAR(a.scores[i].score, b.scores[i].score, tolerance) << what;
  }
}

TEST_F(RunBatchTest, ManyHeadsEqualSingleHeadsBitForBit) {
  const Image picture = NoisePicture(40, 48, 1);
  const std::vector<HeadSpec> heads = AllHeads();
  const std::vector<ModelResult> together = Run({{&picture, heads}});
  ASSERT_TRUE(together[0].status.ok()) << together[0].status;
  ASSERT_EQ(together[0].outputs.size(), heads.size());
  for (size_t i = 0; i < heads.size(); ++i) {
    ExpectEqual(together[0].outputs[i], RunOne(picture, heads[i]), 0, heads[i].canonical);
  }
}

TEST_F(RunBatchTest, ABatchOfMixedHeadsEqualsSingleImages) {
  const std::vector<HeadSpec> heads = AllHeads();
  std::vector<Image> pictures;
  std::vector<std::vector<HeadSpec>> wanted;
  for (uint32_t i = 0; i < 7; ++i) {
    pictures.push_back(NoisePicture(32, 32, 100 + i));
    std::vector<HeadSpec> list;
    for (size_t k = 0; k < heads.size(); ++k) {
      if ((i * 5 + k * 3) % 4 != 0 || k == i) list.push_back(heads[(k + i) % heads.size()]);
    }
    wanted.push_back(list);
  }
  std::vector<ModelTask> tasks;
  for (size_t i = 0; i < pictures.size(); ++i) tasks.push_back({&pictures[i], wanted[i]});
  const std::vector<ModelResult> results = Run(tasks);
  for (size_t i = 0; i < tasks.size(); ++i) {
    ASSERT_TRUE(results[i].status.ok()) << results[i].status;
    ASSERT_EQ(results[i].outputs.size(), wanted[i].size());
    for (size_t k = 0; k < wanted[i].size(); ++k) {
      ExpectEqual(results[i].outputs[k], RunOne(pictures[i], wanted[i][k]), 1e-5f,
                  wanted[i][k].canonical);
    }
  }
}

// The same tensors serve both, yet each keeps its own options.
TEST_F(RunBatchTest, HeadsThatDifferOnlyOutsideTheSpaceStayApart) {
  const Image picture = NoisePicture(32, 32, 2);
  const std::vector<HeadSpec> heads = {MakeHead("class_scores", {{"top_k", int64_t{2}}}),
                                       MakeHead("class_scores", {{"top_k", int64_t{0}}}),
                                       MakeHead("class_scores", {{"top_k", int64_t{100}}}),
                                       MakeHead("class_scores", {{"top_k", int64_t{2}}})};
  const ModelResult result = std::move(Run({{&picture, heads}})[0]);
  ASSERT_TRUE(result.status.ok());
  EXPECT_EQ(result.outputs[0].scores.size(), 2u);
  EXPECT_EQ(result.outputs[1].scores.size(), 7u);
  EXPECT_EQ(result.outputs[2].scores.size(), 7u);
  EXPECT_EQ(result.outputs[3].scores[1].class_index, result.outputs[0].scores[1].class_index);
  EXPECT_EQ(result.outputs[0].shape, (Ints{2}));
  for (int i = 0; i < 7; ++i) EXPECT_EQ(result.outputs[1].scores[i].class_index, i);
  for (int i = 1; i < 7; ++i) {
    EXPECT_GE(result.outputs[2].scores[i - 1].score, result.outputs[2].scores[i].score);
  }
}

// Softmax of W * mean + b, computed here from the bundle's own files and the map.
TEST_F(RunBatchTest, ClassScoresAreTheClassifierOfTheMean) {
  const Image picture = NoisePicture(56, 40, 3);
  const std::string weight = ReadFile(TinyBundleDir() / "classifier.weight.f32");
  const std::string bias = ReadFile(TinyBundleDir() / "classifier.bias.f32");
  const auto at = [](const std::string& bytes, size_t i) {
    float value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    return double{value};
  };
  const std::vector<float> mean = RunOne(picture, MakeHead("global_avg")).values;
  std::vector<double> logits(7);
  double sum = 0;
  for (size_t c = 0; c < 7; ++c) {
    logits[c] = at(bias, c);
    for (size_t k = 0; k < 10; ++k) logits[c] += at(weight, c * 10 + k) * mean[k];
    sum += std::exp(logits[c]);
  }
  const HeadOutput raw = RunOne(
      picture,
      MakeHead("class_scores", {{"top_k", int64_t{0}}, {"score_type", std::string("logits")}}));
  const HeadOutput soft = RunOne(picture, MakeHead("class_scores", {{"top_k", int64_t{0}}}));
  for (size_t c = 0; c < 7; ++c) {
    EXPECT_NEAR(raw.scores[c].score, logits[c], 1e-5);
    EXPECT_NEAR(soft.scores[c].score, std::exp(logits[c]) / sum, 1e-5);
  }
}

// The backbone's map pooled by ApplyHead is what the batch gives.
TEST_F(RunBatchTest, HeadsOfABatchEqualHeadsOfTheMap) {
  const Image picture = NoisePicture(64, 48, 4);
  for (const HeadSpec& head : AllHeads()) {
    if (head.type->needs_classifier()) continue;
    const HeadOutput map = RunOne(picture, MakeHead("feature_map", {}, false, head.layer));
    const auto alone = ApplyHead(head, map.values, map.shape[0], map.shape[1], map.shape[2]);
    ASSERT_TRUE(alone.ok());
    ExpectEqual(RunOne(picture, head), *alone, 1e-5f, head.canonical);
  }
}

// The map of a layer under a region, [c, h, w].
std::vector<float> MapUnder(const HeadOutput& map, double stride, const RegionF& region,
                            const RegionPooling& pooling) {
  const int64_t c = map.shape[0];
  const int64_t cells = map.shape[1] * map.shape[2];
  std::vector<float> last(map.values.size());
  for (int64_t i = 0; i < cells; ++i) {
    for (int64_t k = 0; k < c; ++k) {
      last[static_cast<size_t>(i * c + k)] = map.values[static_cast<size_t>(k * cells + i)];
    }
  }
  const int64_t out_cells = int64_t{pooling.height} * pooling.width;
  std::vector<float> pooled(static_cast<size_t>(out_cells * c));
  PoolRegion({last.data(), c, map.shape[1], map.shape[2], stride}, region, pooling, pooled.data());
  std::vector<float> first(pooled.size());
  for (int64_t i = 0; i < out_cells; ++i) {
    for (int64_t k = 0; k < c; ++k) {
      first[static_cast<size_t>(k * out_cells + i)] = pooled[static_cast<size_t>(i * c + k)];
    }
  }
  return first;
}

// What ApplyHead gives for the map under each region.
TEST_F(RunBatchTest, HeadsOfRegionsAreThoseOfTheirMaps) {
  const Image picture = NoisePicture(64, 48, 12);
  const std::vector<RegionF> regions = {{0, 0, 64, 48}, {3.5, 7.25, 40, 30}, {-9, 20, 20, 60}};
  std::vector<HeadSpec> heads;
  for (HeadSpec& head : AllHeads()) {
    const bool fits = CheckHeadOnMap(head, 5, 4).ok();  // max_unpool wants a map of its own size
    if (fits && !head.type->needs_classifier()) heads.push_back(std::move(head));
  }
  for (const RegionPoolingKind kind : {RegionPoolingKind::kRoiAlign, RegionPoolingKind::kRoiPool}) {
    const RegionPooling pooling{.kind = kind, .height = 5, .width = 4};
    const ModelResult got = std::move(Run({{.input = &picture,
                                            .heads = heads,
                                            .regions = regions,
                                            .pooling = pooling,
                                            .whole = false}})[0]);
    ASSERT_TRUE(got.status.ok()) << got.status;
    EXPECT_TRUE(got.outputs.empty());
    ASSERT_EQ(got.regions.size(), regions.size());
    for (size_t r = 0; r < regions.size(); ++r) {
      ASSERT_EQ(got.regions[r].size(), heads.size());
      for (size_t h = 0; h < heads.size(); ++h) {
        const HeadSpec& head = heads[h];
        const HeadOutput map = RunOne(picture, MakeHead("feature_map", {}, false, head.layer));
        const double stride = model_->info().layers[static_cast<size_t>(head.layer_index)].stride;
        const std::vector<float> under = MapUnder(map, stride, regions[r], pooling);
        const auto want = ApplyHead(head, under, map.shape[0], pooling.height, pooling.width);
        ASSERT_TRUE(want.ok()) << want.status();
        float largest = 1;
        for (const float value : want->values) largest = std::max(largest, std::fabs(value));
        ExpectEqual(got.regions[r][h], *want, 1e-6f * largest, head.canonical);
      }
    }
  }
}

// Of a region that is the map's grid, on which RoIAlign's samples lie, the scores are the
// picture's.
TEST_F(RunBatchTest, ARegionsScoresAreTheClassifiers) {
  const Image picture = NoisePicture(64, 48, 13);
  const HeadSpec head = MakeHead("class_scores", {{"top_k", int64_t{0}}});
  const HeadOutput map = RunOne(picture, MakeHead("feature_map", {}, false, head.layer));
  const double stride = model_->info().layers[static_cast<size_t>(head.layer_index)].stride;
  const std::vector<RegionF> all = {{0, 0, stride * static_cast<double>(map.shape[2]),
                                     stride * static_cast<double>(map.shape[1])}};
  const ModelResult got =
      std::move(Run({{.input = &picture,
                      .heads = absl::MakeConstSpan(&head, 1),
                      .regions = all,
                      .pooling = {.height = static_cast<int>(map.shape[1]),
                                  .width = static_cast<int>(map.shape[2])}}})[0]);
  ASSERT_TRUE(got.status.ok()) << got.status;
  ExpectEqual(got.regions[0][0], got.outputs[0], 1e-5f, "scores");
}

// More maps than are held at a time, beside a picture without regions and one with the whole too.
TEST_F(RunBatchTest, ManyRegionsAreDoneInParts) {
  const Image picture = NoisePicture(32, 32, 14);
  const std::vector<HeadSpec> heads = {MakeHead("gem", {}, true), MakeHead("global_max"),
                                       MakeHead("gem")};
  const RegionPooling large{.height = 64, .width = 64};
  const int64_t one = RegionMapBytes(large, 10);
  const auto count = static_cast<size_t>(kRegionMapBytes / one * 2 + 3);
  std::vector<RegionF> regions;
  for (size_t i = 0; i < count; ++i) {
    const double at = static_cast<double>(i) * 20 / static_cast<double>(count);
    regions.push_back({at, 20 - at, at + 9, 30 - at});
  }
  const std::vector<ModelResult> got =
      Run({{&picture, heads},
           {.input = &picture, .heads = heads, .regions = regions, .pooling = large}});
  ASSERT_TRUE(got[1].status.ok()) << got[1].status;
  ASSERT_EQ(got[1].regions.size(), count);
  for (size_t h = 0; h < heads.size(); ++h) {
    ExpectEqual(got[0].outputs[h], got[1].outputs[h], 1e-5f, "whole");
  }
  for (const size_t r : {size_t{0}, count / 3, count / 2, count - 1}) {
    const ModelResult alone = std::move(Run({{.input = &picture,
                                              .heads = heads,
                                              .regions = absl::MakeConstSpan(&regions[r], 1),
                                              .pooling = large}})[0]);
    for (size_t h = 0; h < heads.size(); ++h) {
      ExpectEqual(got[1].regions[r][h], alone.regions[0][h], 1e-5f, "region");
    }
  }
}

TEST_F(RunBatchTest, AHeadThatDoesNotFitFailsItsImageAlone) {
  const Image a = NoisePicture(32, 32, 5);
  const Image b = NoisePicture(32, 32, 6);
  const std::vector<HeadSpec> good = {MakeHead("global_avg")};
  const std::vector<HeadSpec> bad = {MakeHead("global_avg"),
                                     MakeHead("max_pool", {{"kernel_size", Ints{5}}})};
  const std::vector<ModelResult> results = Run({{&a, good}, {&b, bad}, {&b, good}});
  EXPECT_TRUE(results[0].status.ok());
  EXPECT_TRUE(results[2].status.ok());
  EXPECT_TRUE(results[1].outputs.empty());
  const ErrorDetails details = DetailsOf(results[1].status);
  EXPECT_EQ(details.reason, ErrorReason::kHeadInvalid);
  EXPECT_EQ(details.field, "heads[1].max_pool.kernel_size");
}

TEST_F(RunBatchTest, WarnsWhereGemLosesNegatives) {
  const Image picture = NoisePicture(32, 32, 7);
  EXPECT_EQ(RunOne(picture, MakeHead("gem", {}, false, "early")).warnings.size(), 1u);
  EXPECT_TRUE(RunOne(picture, MakeHead("gem", {}, false, "late")).warnings.empty());
  EXPECT_TRUE(RunOne(picture, MakeHead("global_avg", {}, false, "early")).warnings.empty());
}

TEST_F(RunBatchTest, InstancesRunSideBySide) {
  const Image picture = NoisePicture(48, 48, 8);
  const std::vector<HeadSpec> heads = AllHeads();
  const std::vector<ModelResult> expected = Run({{&picture, heads}});
  std::vector<std::thread> threads;
  std::vector<std::vector<ModelResult>> results(2);
  for (int instance = 0; instance < 2; ++instance) {
    threads.emplace_back([&, instance] {
      model_->EnterInstanceThread(instance);
      for (int i = 0; i < 20; ++i) results[instance] = Run({{&picture, heads}}, instance);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<ModelResult>& result : results) {
    for (size_t i = 0; i < heads.size(); ++i) {
      ExpectEqual(result[0].outputs[i], expected[0].outputs[i], 1e-5f, heads[i].canonical);
    }
  }
}

void ExpectInferenceFailed(const std::vector<ModelResult>& results) {
  for (const ModelResult& result : results) {
    EXPECT_EQ(DetailsOf(result.status).reason, ErrorReason::kInferenceFailed);
    EXPECT_EQ(result.status.message(), "the model failed");
    EXPECT_TRUE(result.outputs.empty());
  }
}

TEST_F(RunBatchTest, ABackboneThatFailsFailsAllWithoutDetail) {
  const Image small = NoisePicture(8, 32, 9);  // the tiny model raises below 16 pixels
  const std::vector<HeadSpec> heads = {MakeHead("global_avg")};
  ExpectInferenceFailed(Run({{&small, heads}, {&small, heads}}));
  const Image good = NoisePicture(32, 32, 9);
  EXPECT_TRUE(Run({{&good, heads}})[0].status.ok());
}

TEST_F(RunBatchTest, PicturesOfOtherSizesNeverReachTheTensor) {
  const Image empty;
  const Image a = NoisePicture(32, 32, 10);
  const Image b = NoisePicture(64, 32, 11);
  const std::vector<HeadSpec> heads = {MakeHead("global_avg")};
  ExpectInferenceFailed(Run({{&a, heads}, {&b, heads}}));
  ExpectInferenceFailed(Run({{&empty, heads}}));
  ExpectInferenceFailed(Run({{nullptr, heads}}));
}

}  // namespace
}  // namespace pixpool
