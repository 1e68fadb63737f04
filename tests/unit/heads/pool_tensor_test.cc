// Heads against plain loops written here, and against what torch.nn computes from Python.
#include "server/heads/pool_tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using nlohmann::json;
using Ints = std::vector<int64_t>;

struct Map {
  int64_t c, h, w;
  std::vector<float> values;
  float At(int64_t channel, int64_t y, int64_t x) const {
    return values[(channel * h + y) * w + x];
  }
};

Map RandomMap(int64_t c, int64_t h, int64_t w, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Map map{c, h, w, std::vector<float>(c * h * w)};
  for (float& value : map.values) value = normal(random);
  return map;
}

HeadOutput Apply(const HeadSpec& head, const Map& map) {
  auto output = ApplyHead(head, map.values, map.c, map.h, map.w);
  EXPECT_TRUE(output.ok()) << head.canonical << ": " << output.status();
  return output.ok() ? *output : HeadOutput();
}

void ExpectNear(const std::vector<float>& got, const std::vector<double>& expected,
                const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], expected[i], 1e-5 * std::max(1.0, std::fabs(expected[i]))) << what << i;
  }
}

std::vector<double> NaiveMean(const Map& m) {
  std::vector<double> out(m.c);
  for (size_t i = 0; i < m.values.size(); ++i) out[i / (m.h * m.w)] += m.values[i];
  for (double& value : out) value /= static_cast<double>(m.h * m.w);
  return out;
}

std::vector<double> NaiveMax(const Map& m) {
  std::vector<double> out(m.c, -std::numeric_limits<double>::infinity());
  for (size_t i = 0; i < m.values.size(); ++i) {
    double& best = out[i / (m.h * m.w)];
    best = std::max<double>(best, m.values[i]);
  }
  return out;
}

std::vector<double> NaiveGem(const Map& m, double p, double eps) {
  std::vector<double> out(m.c);
  for (size_t i = 0; i < m.values.size(); ++i) {
    out[i / (m.h * m.w)] += std::pow(std::max<double>(m.values[i], eps), p);
  }
  for (double& value : out) value = std::pow(value / static_cast<double>(m.h * m.w), 1 / p);
  return out;
}

TEST(GlobalHeads, EqualPlainLoops) {
  for (const auto& [c, h, w] : std::vector<std::array<int64_t, 3>>{
           {1, 1, 1}, {3, 7, 7}, {20, 5, 13}, {64, 12, 9}, {5, 1, 17}}) {
    const Map map = RandomMap(c, h, w, static_cast<uint32_t>(c + h * 31 + w));
    const std::vector<double> mean = NaiveMean(map);
    const std::vector<double> max = NaiveMax(map);
    std::vector<double> both;
    std::vector<double> half;
    for (int64_t i = 0; i < c; ++i) half.push_back((mean[i] + max[i]) / 2);
    both.insert(both.end(), mean.begin(), mean.end());
    both.insert(both.end(), max.begin(), max.end());
    ExpectNear(Apply(MakeHead("global_avg"), map).values, mean, "global_avg");
    ExpectNear(Apply(MakeHead("global_max"), map).values, max, "global_max");
    ExpectNear(Apply(MakeHead("avg_max"), map).values, half, "avg_max");
    ExpectNear(Apply(MakeHead("cat_avg_max"), map).values, both, "cat_avg_max");
    const HeadOutput raw = Apply(MakeHead("feature_map"), map);
    EXPECT_EQ(raw.values, map.values);
    EXPECT_EQ(raw.shape, (Ints{c, h, w}));
  }
}

TEST(Gem, EqualsPlainLoops) {
  const Map map = RandomMap(8, 9, 6, 4);
  for (double p : {0.1, 0.49, 0.5, 1.0, 2.5, 3.0, 10.0, 60.0}) {
    for (double eps : {1e-6, 1e-3, 1.0}) {
      const HeadSpec head = MakeHead("gem", {{"p", p}, {"eps", eps}});
      ExpectNear(Apply(head, map).values, NaiveGem(map, head.Float("p"), static_cast<float>(eps)),
                 head.canonical);
    }
  }
}

TEST(Gem, LimitsAreMeanMaximumAndGeometricMean) {
  Map map = RandomMap(4, 6, 6, 5);
  for (float& value : map.values) value = std::fabs(value) * 50 + 0.1f;
  ExpectNear(Apply(MakeHead("gem", {{"p", 1.0}}), map).values, NaiveMean(map), "p = 1");
  const std::vector<float> high = Apply(MakeHead("gem", {{"p", 100.0}}), map).values;
  const std::vector<double> max = NaiveMax(map);
  std::vector<double> geometric(4);
  for (size_t i = 0; i < map.values.size(); ++i) geometric[i / 36] += std::log(map.values[i]) / 36;
  const std::vector<float> low = Apply(MakeHead("gem", {{"p", 1e-30}}), map).values;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(std::isfinite(high[i]));  // 50^100 is far beyond float32
    EXPECT_LE(high[i], max[i] * (1 + 1e-6));
    EXPECT_GE(high[i], max[i] * std::pow(1.0 / 36, 0.01) * (1 - 1e-6));
    EXPECT_NEAR(low[i], std::exp(geometric[i]), 1e-4 * std::exp(geometric[i]));
  }
}

TEST(Gem, ADeadChannelIsEps) {
  const Map map{1, 2, 2, {0, 0, -3, 0}};
  EXPECT_NEAR(Apply(MakeHead("gem"), map).values[0], 1e-6, 1e-11);
}

TEST(L2, DividesByTheNormAndLeavesZeroAlone) {
  const Map map = RandomMap(6, 4, 5, 9);
  for (const char* kind : {"global_avg", "feature_map"}) {
    const std::vector<float> plain = Apply(MakeHead(kind), map).values;
    const std::vector<float> unit = Apply(MakeHead(kind, {}, true), map).values;
    double norm = 0;
    for (float value : plain) norm += double{value} * value;
    std::vector<double> expected;
    for (float value : plain) expected.push_back(value / std::sqrt(norm));
    ExpectNear(unit, expected, kind);
  }
  const Map zero{2, 1, 1, {0, 0}};
  EXPECT_EQ(Apply(MakeHead("global_avg", {}, true), zero).values, (std::vector<float>{0, 0}));
}

// Published vectors that engines have got wrong.
TEST(AvgPool, CeilModeDividesByWhatLiesInside) {
  Map map{1, 7, 7, {}};
  for (int i = 0; i < 49; ++i) map.values.push_back(static_cast<float>(i));
  const HeadSpec head =
      MakeHead("avg_pool", {{"kernel_size", Ints{2}}, {"stride", Ints{3}}, {"ceil_mode", true}});
  EXPECT_EQ(Apply(head, map).values, (std::vector<float>{4, 7, 9.5, 25, 28, 30.5, 42.5, 45.5, 48}));
}

TEST(MaxPool, CeilModeDropsAWindowThatStartsOutside) {
  const Map map{1, 2, 2, {1, 2, 3, 4}};
  const HeadSpec head =
      MakeHead("max_pool", {{"kernel_size", Ints{1}}, {"stride", Ints{2}}, {"ceil_mode", true}});
  EXPECT_EQ(Apply(head, map).values, (std::vector<float>{1}));
}

TEST(MaxPool, PaddingIsNeverAMaximum) {
  const Map map{1, 2, 2, {-1, -2, -3, -4}};
  const HeadSpec head = MakeHead("max_pool", {{"kernel_size", Ints{3}},
                                              {"padding", Ints{1}},
                                              {"stride", Ints{1}},
                                              {"return_indices", true}});
  const HeadOutput output = Apply(head, map);
  EXPECT_EQ(output.values, (std::vector<float>{-1, -1, -1, -1}));
  EXPECT_EQ(output.indices, (Ints{0, 0, 0, 0}));
}

TEST(AdaptiveAvg, EqualsPlainLoops) {
  const Map map = RandomMap(3, 7, 10, 12);
  const int64_t oh = 3;
  const int64_t ow = 4;
  std::vector<double> expected;
  for (int64_t c = 0; c < 3; ++c)
    for (int64_t i = 0; i < oh; ++i)
      for (int64_t j = 0; j < ow; ++j) {
        double sum = 0;
        int count = 0;
        for (int64_t y = i * 7 / oh; y < ((i + 1) * 7 + oh - 1) / oh; ++y)
          for (int64_t x = j * 10 / ow; x < ((j + 1) * 10 + ow - 1) / ow; ++x, ++count)
            sum += map.At(c, y, x);
        expected.push_back(sum / count);
      }
  ExpectNear(Apply(MakeHead("adaptive_avg", {{"output_size", Ints{oh, ow}}}), map).values, expected,
             "adaptive_avg");
}

ParamMap ParamsOf(const json& c) {
  ParamMap params;
  for (const char* name : {"kernel_size", "stride", "padding", "dilation", "output_size"}) {
    if (c.contains(name)) params[name] = c[name].get<Ints>();
  }
  for (const char* name : {"ceil_mode", "count_include_pad"}) {
    if (c.contains(name)) params[name] = c[name].get<bool>();
  }
  for (const char* name : {"p", "eps"}) {
    if (c.contains(name)) params[name] = c[name].get<double>();
  }
  if (c.contains("divisor_override"))
    params["divisor_override"] = c["divisor_override"].get<int64_t>();
  if (c.contains("indices")) params["return_indices"] = true;
  return params;
}

void CheckGoldenOutput(const HeadOutput& output, const json& c) {
  ASSERT_EQ(output.shape, c["shape"].get<Ints>()) << c;
  const auto* values = reinterpret_cast<const float*>(GoldenData(c["values"]));
  for (size_t i = 0; i < output.values.size(); ++i) {
    const float tolerance =
        std::isinf(values[i]) ? 0 : 1e-5f * std::max(1.0f, std::fabs(values[i]));
    if (std::isinf(values[i])) {
      ASSERT_EQ(output.values[i], values[i]) << c;
    } else {
      ASSERT_NEAR(output.values[i], values[i], tolerance) << c << " at " << i;
    }
  }
  if (!c.contains("indices")) return;
  const auto* indices = reinterpret_cast<const int64_t*>(GoldenData(c["indices"]));
  ASSERT_EQ(output.indices, Ints(indices, indices + output.values.size())) << c;
}

// A grid of parameters over several maps. What torch refuses is refused here, with HEAD_INVALID and
// never INTERNAL.
TEST(Heads, EqualTorchOverAGridOfParameters) {
  const json goldens = ReadGoldens("heads");
  std::map<std::string, Map> maps;
  for (const json& m : goldens["maps"]) {
    const Ints shape = m["shape"];
    const auto* values = reinterpret_cast<const float*>(GoldenData(m["values"]));
    maps[m["name"]] = {shape[0], shape[1], shape[2],
                       std::vector<float>(values, values + shape[0] * shape[1] * shape[2])};
  }
  int refused = 0;
  int computed = 0;
  for (const json& c : goldens["cases"]) {
    HeadRequest request;
    request.kind = c["kind"];
    request.params = ParamsOf(c);
    const absl::StatusOr<HeadSpec> head = ValidateHead(request, TestScope());
    const Map& map = maps[c["map"]];
    const absl::StatusOr<HeadOutput> output =
        head.ok() ? ApplyHead(*head, map.values, map.c, map.h, map.w) : head.status();
    if (c.contains("refused")) {
      ASSERT_FALSE(output.ok()) << c;
      ASSERT_EQ(DetailsOf(output.status()).reason, ErrorReason::kHeadInvalid) << c;
      const std::string prefix = head.ok() ? "heads[0]." : "";
      ASSERT_TRUE(DetailsOf(output.status()).field.starts_with(prefix + request.kind + ".")) << c;
      ++refused;
      continue;
    }
    ASSERT_TRUE(output.ok()) << c << output.status();
    CheckGoldenOutput(*output, c);
    ++computed;
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(computed, 3000);
}

TEST(ApplyHead, RefusesWhatDoesNotFit) {
  const std::vector<float> values(12);
  EXPECT_EQ(DetailsOf(ApplyHead(MakeHead("gem"), values, 3, 2, 3).status()).reason,
            ErrorReason::kRequestInvalid);
  EXPECT_EQ(DetailsOf(ApplyHead(MakeHead("gem"), {}, 3, 0, 3).status()).reason,
            ErrorReason::kRequestInvalid);
  EXPECT_EQ(DetailsOf(ApplyHead(MakeHead("class_scores"), values, 3, 2, 2).status()).reason,
            ErrorReason::kHeadInvalid);
}

TEST(Heads, InfinitiesAndNanGoThroughAsTorchLetsThem) {
  const float inf = std::numeric_limits<float>::infinity();
  const Map map{3, 1, 2, {1, inf, -inf, -inf, 2, std::nanf("")}};
  const std::vector<float> lse = Apply(MakeHead("lse"), map).values;
  EXPECT_EQ(lse[0], inf);
  EXPECT_EQ(lse[1], -inf);
  EXPECT_TRUE(std::isnan(lse[2]));
  const std::vector<float> gem = Apply(MakeHead("gem"), map).values;
  EXPECT_EQ(gem[0], inf);
  EXPECT_NEAR(gem[1], 1e-6, 1e-11);
  EXPECT_TRUE(std::isnan(gem[2]));
  const std::vector<float> lp = Apply(MakeHead("lp"), map).values;
  EXPECT_EQ(lp[0], inf);
  EXPECT_EQ(lp[1], inf);
  EXPECT_TRUE(std::isnan(lp[2]));
}

TEST(Lse, KeepsWhatSmallValuesDifferIn) {
  const Map map{1, 1, 2, {1e-6f, 3e-6f}};
  EXPECT_NEAR(Apply(MakeHead("lse"), map).values[0], 2e-6, 1e-11);
  const Map steep{1, 1, 2, {0, 1000}};
  EXPECT_NEAR(Apply(MakeHead("lse"), steep).values[0], 1000 - std::log(2.0) / 10, 1e-4);
}

TEST(Lp, SumsOfWholeNumbersStayExact) {
  const Map map{1, 1, 2, {3, -3}};
  EXPECT_EQ(Apply(MakeHead("lp", {{"p", 3.0}}), map).values[0], 0);
  const Map large{1, 1, 2, {3e38f, 3e38f}};
  EXPECT_FLOAT_EQ(Apply(MakeHead("lp", {{"p", 100.0}}), large).values[0],
                  3e38f * std::pow(2.0f, 0.01f));
  const Map zero{1, 1, 2, {0, 0}};
  EXPECT_EQ(Apply(MakeHead("lp"), zero).values[0], 0);
}

TEST(Crow, AnEmptyMapIsZeroAndEmptyChannelsCountNothing) {
  const Map zero{2, 2, 2, std::vector<float>(8)};
  EXPECT_EQ(Apply(MakeHead("crow"), zero).values, (std::vector<float>{0, 0}));
  const Map half{2, 1, 2, {1, 3, 0, 0}};
  const std::vector<float> values = Apply(MakeHead("crow"), half).values;
  EXPECT_EQ(values[0], 0);  // log(1): the only channel is not rare
  EXPECT_EQ(values[1], 0);
}

TEST(Scda, PoolsTheLargestPartAlone) {
  const Map map{1, 1, 6, {9, 0, 0, 5, 7, 0}};
  EXPECT_EQ(Apply(MakeHead("scda"), map).values, (std::vector<float>{6, 7}));
  const Map constant{1, 1, 3, {2, 2, 2}};
  EXPECT_EQ(Apply(MakeHead("scda"), constant).values, (std::vector<float>{2, 2}));
}

TEST(Spoc, WeighsTheCentre) {
  const Map map{1, 1, 3, {10, 1, 10}};
  const double side = std::exp(-1 / (2 * 0.25));
  EXPECT_NEAR(Apply(MakeHead("spoc", {{"sigma", 0.5}}), map).values[0], 1 + 20 * side, 1e-5);
  // A Gaussian that is narrower than any float still has its middle.
  EXPECT_EQ(Apply(MakeHead("spoc", {{"sigma", 1e-30}}), map).values[0], 1);
}

TEST(MaxUnpool, PutsTheMaximaBack) {
  const Map map{1, 2, 4, {1, 5, 2, 0, 3, 4, 8, 7}};
  const HeadSpec head = MakeHead("max_unpool", {{"kernel_size", Ints{2}}});
  const HeadOutput output = Apply(head, map);
  EXPECT_EQ(output.shape, (Ints{1, 2, 4}));
  EXPECT_EQ(output.values, (std::vector<float>{0, 5, 0, 0, 0, 0, 8, 0}));
}

TEST(MaxUnpool, RefusesAnotherPlaneThanTheOnePooled) {
  const Map map = RandomMap(1, 5, 5, 3);
  const HeadSpec by_default = MakeHead("max_unpool", {{"kernel_size", Ints{2}}});
  const auto refused = ApplyHead(by_default, map.values, 1, 5, 5);
  EXPECT_EQ(DetailsOf(refused.status()).field, "heads[0].max_unpool.output_size");
  const HeadSpec sized =
      MakeHead("max_unpool", {{"kernel_size", Ints{2}}, {"output_size", Ints{5}}});
  EXPECT_EQ(Apply(sized, map).shape, (Ints{1, 5, 5}));
}

TEST(ConvPool, MeanFilterIsAvgPool) {
  const Map map = RandomMap(4, 9, 7, 21);
  const ParamMap window = {{"kernel_size", Ints{3, 2}}, {"stride", Ints{2}}};
  ParamMap mean = window;
  mean["mean_filter"] = true;
  const HeadOutput conv = Apply(MakeHead("conv_pool", mean), map);
  const HeadOutput pool = Apply(MakeHead("avg_pool", window), map);
  EXPECT_EQ(conv.shape, pool.shape);
  ExpectNear(conv.values, {pool.values.begin(), pool.values.end()}, "conv_pool");
  mean["relu"] = true;
  for (const float value : Apply(MakeHead("conv_pool", mean), map).values) EXPECT_GE(value, 0);
}

}  // namespace
}  // namespace pixpool
