#include "server/model/pass_bytes.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "server/base/memory.h"

namespace pixpool {
namespace {

constexpr int64_t kMiB = 1 << 20;

ModelInfo Info() {
  return {.device = "cpu",
          .input = {.height = 224, .width = 224},
          .layers = {{.name = "stem", .channels = 32, .stride = 2},
                     {.name = "last", .channels = 1280, .stride = 32}},
          .default_layer = "last"};
}

// Takes what a real one would: so much per pixel, and so much for each network, which it keeps or
// frees.
class Hungry final : public Backbone {
 public:
  Hungry(bool keeps, int64_t per_pixel, int64_t network)
      : keeps_(keeps), per_pixel_(per_pixel), network_(network) {}

  void EnterThread(int) override {}
  bool picks_outputs() const override { return keeps_; }

  absl::StatusOr<std::vector<at::Tensor>> Run(const BackbonePass& pass) override {
    ++passes;
    if (beside) beside();
    most_side = std::max(most_side, pass.images.size(1));
    if (fails) return absl::InternalError("no");
    const auto pixels = pass.images.size(1) * pass.images.size(2);
    if (keeps_ && networks_.insert({pass.outputs, pass.large}).second) Take(network_);
    const int64_t outputs = keeps_ && pass.outputs.size() > 1 ? 32 * pixels : 0;  // the stem's
    Take(per_pixel_ * pixels + outputs);
    if (!keeps_) blocks_.clear();
    return std::vector<at::Tensor>(2, at::zeros({1, 1, 1, 1}));
  }

  int passes = 0;
  int64_t most_side = 0;
  bool fails = false;
  std::function<void()> beside;  // what others do meanwhile

 private:
  void Take(int64_t bytes) {
    blocks_.push_back(std::make_unique<char[]>(static_cast<size_t>(bytes)));
    // So that even a peak lasts for a while.
    for (int i = 0; i < 4; ++i) std::memset(blocks_.back().get(), i, static_cast<size_t>(bytes));
  }

  const bool keeps_;
  const int64_t per_pixel_;
  const int64_t network_;
  std::set<std::pair<std::vector<int>, bool>> networks_;
  std::vector<std::unique_ptr<char[]>> blocks_;
};

PassPrices PricesOf(Hungry& backbone, int64_t memory = 0) {
  const auto first = MeasureFirstPass(backbone, Info());
  const auto prices = MeasurePasses(backbone, Info(), *first, memory);
  EXPECT_TRUE(prices.ok()) << prices.status();
  return *prices;
}

double Ratio(int64_t a, int64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

TEST(PassBytes, WhatAnEngineKeepsIsFoundWithItsNetwork) {
  if (HeapBytesInUse() == 0) GTEST_SKIP() << "this C library does not say what is in use";
  Hungry backbone(/*keeps=*/true, 200, 20 * kMiB);
  const PassPrices prices = PricesOf(backbone);
  const std::vector<LayerInfo> layers = Info().layers;
  const PassParts large = prices.Of({2048, 2048}, {1}, layers);
  EXPECT_NEAR(Ratio(large.maps, int64_t{200} * 2048 * 2048), 1, 0.1);
  EXPECT_GE(large.network, 20 * kMiB);
  EXPECT_LE(large.network, 36 * kMiB);
  EXPECT_EQ(large.heads, 2 * 4 * 1280 * 64 * 64);
  // Its own output at least.
  const PassParts other = prices.Of({2048, 2048}, {0, 1}, layers);
  EXPECT_GE(other.maps - large.maps, int64_t{32} * 2048 * 2048);
  EXPECT_LE(other.maps - large.maps, int64_t{48} * 2048 * 2048);
}

TEST(PassBytes, WhereMemoryIsShortNoPassIsLargerThanTheRecipesAndThePriceIsTheSame) {
  if (HeapBytesInUse() == 0) GTEST_SKIP() << "this C library does not say what is in use";
  Hungry ample(true, 200, 20 * kMiB);
  PricesOf(ample, /*memory=*/int64_t{1} << 50);
  EXPECT_GT(ample.most_side, 224);
  Hungry backbone(true, 200, 20 * kMiB);
  const PassPrices prices = PricesOf(backbone, /*memory=*/1);
  EXPECT_EQ(backbone.most_side, 224);
  const PassParts large = prices.Of({2048, 2048}, {1}, Info().layers);
  EXPECT_NEAR(Ratio(large.maps, int64_t{200} * 2048 * 2048), 1, 0.1);
  EXPECT_GE(large.network, 20 * kMiB);
  EXPECT_LE(large.network, 36 * kMiB);
}

TEST(PassBytes, WhatAnEngineFreesIsSeenWhileItRuns) {
  if (HeapBytesInUse() == 0) GTEST_SKIP() << "this C library does not say what is in use";
  Hungry backbone(/*keeps=*/false, 200, 0);
  const PassPrices prices = PricesOf(backbone);
  const PassParts large = prices.Of({1024, 1024}, {1}, Info().layers);
  EXPECT_EQ(large.network, 0);
  EXPECT_GE(large.maps, int64_t{200} * 1024 * 1024) << "and what the heap keeps of it";
  EXPECT_LE(large.maps, int64_t{800} * 1024 * 1024);
}

TEST(PassBytes, WhatOthersFreeMeanwhileMakesNoPassCheap) {
  if (HeapBytesInUse() == 0) GTEST_SKIP() << "this C library does not say what is in use";
  for (const bool keeps : {true, false}) {
    std::vector<std::unique_ptr<char[]>> others;
    const auto take = [&others] {
      constexpr size_t kBytes = 64 << 20;
      others.push_back(std::make_unique_for_overwrite<char[]>(kBytes));
    };
    for (int i = 0; i < 16; ++i) take();
    Hungry backbone(keeps, 20, kMiB);
    backbone.beside = [&others] { others.pop_back(); };
    const PassPrices prices = PricesOf(backbone);
    EXPECT_GE(prices.Of({1024, 1024}, {1}, Info().layers).maps, int64_t{5} * 1024 * 1024);
    EXPECT_GE(prices.Of({1024, 1024}, {0, 1}, Info().layers).maps, int64_t{37} * 1024 * 1024);
    EXPECT_GT(prices.usual_bytes(), 0);
  }
}

TEST(PassBytes, TheUsualPassIsFree) {
  const std::vector<LayerInfo> layers = Info().layers;
  const PassPrice price = {.network = 10, .per_pixel = 100};
  const PassPrices own_network(price, price, {224, 224}, {1}, /*keeps_usual=*/true);
  EXPECT_EQ(own_network.Of({224, 224}, {1}, layers).total(), 0);
  EXPECT_GT(own_network.Of({224, 224}, {0, 1}, layers).total(), 0);
  EXPECT_GT(own_network.Of({192, 192}, {1}, layers).total(), 0);
  EXPECT_EQ(own_network.usual_bytes(), 100 * 224 * 224);
  const PassPrices any(price, price, {224, 224}, {1}, /*keeps_usual=*/false);
  EXPECT_EQ(any.Of({192, 192}, {0, 1}, layers).total(), 0);
  EXPECT_GT(any.Of({225, 224}, {1}, layers).total(), 0);
}

TEST(PassBytes, PartOfTheUsualOutputsIsUsualAndTokensCostNothingBeside) {
  const std::vector<LayerInfo> layers = Info().layers;
  const PassPrice usual = {.network = 10, .per_pixel = 100};
  const PassPrice all = {.network = 10, .per_pixel = 300};
  // The last layer's map, its prefix tokens, and the embedding.
  const PassPrices prices(usual, all, {224, 224}, {1, 2, 3}, /*keeps_usual=*/true);
  EXPECT_EQ(prices.Of({224, 224}, {3}, layers).total(), 0);
  EXPECT_EQ(prices.Of({224, 224}, {1, 2}, layers).total(), 0);
  EXPECT_GT(prices.Of({224, 224}, {0, 3}, layers).total(), 0);
  const PassParts tokens = prices.Of({448, 448}, {2, 3}, layers);
  EXPECT_EQ(tokens.maps, 100 * 448 * 448);
  EXPECT_EQ(tokens.heads, 0);
  EXPECT_EQ(prices.Of({448, 448}, {1, 3}, layers).heads, 2 * 4 * 1280 * 14 * 14);
}

TEST(PassBytes, APassOfTheLoadIsReckonedWithWhatTheFirstOneDidNotShow) {
  const int64_t two = 2 * 224 * 224;
  EXPECT_EQ(LoadingPassBytes(Info(), 0, two), 0);
  const int64_t stem = int64_t{4} * 32 * 2 * 112 * 112;
  EXPECT_EQ(LoadingPassBytes(Info(), 30 * kMiB, two), 60 * kMiB + 12 * kMiB + 2 * stem);
}

TEST(PassBytes, LargeIsMoreThanFourTimesTheRecipe) {
  const PassPrice price = {.per_pixel = 100};
  const PassPrices prices(price, price, {224, 224}, {1}, true);
  EXPECT_FALSE(prices.IsLarge({448, 448}));
  EXPECT_TRUE(prices.IsLarge({449, 448}));
}

TEST(PassBytes, OffTheCpuNothingIsMeasuredAndNothingCosts) {
  ModelInfo info = Info();
  info.device = "cuda:0";
  Hungry backbone(true, 200, 20 * kMiB);
  const auto first = MeasureFirstPass(backbone, info);
  const auto prices = MeasurePasses(backbone, info, *first);
  ASSERT_TRUE(prices.ok());
  EXPECT_EQ(backbone.passes, 0);
  EXPECT_EQ(prices->Of({2048, 2048}, {0, 1}, info.layers).total(), 0);
  EXPECT_FALSE(prices->IsLarge({2048, 2048}));
  EXPECT_EQ(prices->usual_bytes(), 0);
}

TEST(PassBytes, AFailureIsPassedOn) {
  Hungry backbone(true, 200, kMiB);
  backbone.fails = true;
  EXPECT_FALSE(MeasureFirstPass(backbone, Info()).ok());
  EXPECT_FALSE(MeasurePasses(backbone, Info(), 0).ok());
}

}  // namespace
}  // namespace pixpool
