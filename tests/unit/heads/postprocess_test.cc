#include "server/heads/postprocess.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using Floats = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Three values to two: matrix [[1, 2, 3], [4, 5, 6]], mean [.1, .2, .3].
std::shared_ptr<const Projection> Small() {
  auto p = std::make_shared<Projection>();
  p->name = "small";
  p->layer = "late";
  p->head_kind = "gem";
  p->input_dimensions = 3;
  p->output_dimensions = 2;
  p->sha256 = "abc";
  p->mean = {0.1f, 0.2f, 0.3f};
  p->columns = {1, 4, 2, 5, 3, 6};
  return p;
}

TEST(FinishPass, NormalisesOnlyWhereAsked) {
  Floats values = {3, 4};
  FinishPass({}, values);
  EXPECT_EQ(values, (Floats{3, 4}));
  FinishPass({.l2_normalized = true}, values);
  EXPECT_EQ(values, (Floats{0.6f, 0.8f}));
  values = {3, 4};
  FinishPass({.projection = Small()}, values);  // a projection starts with L2
  EXPECT_EQ(values, (Floats{0.6f, 0.8f}));
  values = {0, 0};
  FinishPass({.l2_normalized = true}, values);
  EXPECT_EQ(values, (Floats{0, 0}));
}

TEST(FinishVector, WhitensCutsAndNormalises) {
  const Floats x = {0.6f, 0.8f, 0};
  // 1 (.5) + 2 (.6) + 3 (-.3), 4 (.5) + 5 (.6) + 6 (-.3)
  const double a = 0.8;
  const double b = 3.2;
  Floats values = x;
  FinishVector({.projection = Small(), .dimensions = 2}, values);
  ASSERT_EQ(values.size(), 2u);
  EXPECT_NEAR(values[0], a / std::hypot(a, b), 1e-6);
  EXPECT_NEAR(values[1], b / std::hypot(a, b), 1e-6);
  values = x;
  FinishVector({.projection = Small(), .dimensions = 1}, values);
  EXPECT_EQ(values, (Floats{1}));
}

TEST(SumPasses, AddsAndNormalises) {
  const Floats a = {1, 0};
  const Floats b = {2, 4};
  const std::vector<const Floats*> passes = {&a, &b};
  const Floats sum = SumPasses(passes);
  EXPECT_NEAR(sum[0], 0.6, 1e-7);
  EXPECT_NEAR(sum[1], 0.8, 1e-7);
}

TEST(Encode, HalfRoundsToNearestEven) {
  float scale = 0;
  const std::string bytes =
      Encode(Floats{1, -2.5f, 65'504, 70'000, 2049, kInfinity}, Encoding::kFloat16, scale);
  ASSERT_EQ(bytes.size(), 12u);
  const auto half = [&](size_t i) {
    uint16_t bits;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    return bits;
  };
  EXPECT_EQ(half(0), 0x3C00);
  EXPECT_EQ(half(1), 0xC100);
  EXPECT_EQ(half(2), 0x7BFF);
  EXPECT_EQ(half(3), 0x7C00);  // infinity
  EXPECT_EQ(half(4), 0x6800);  // 2048: even of 2048 and 2050
  EXPECT_EQ(half(5), 0x7C00);
}

TEST(Encode, Int8KeepsTheLargestExactly) {
  float scale = 0;
  const Floats values = {-2, 0, 0.5f, 1.27f, kInfinity, -kInfinity, kNan};
  const std::string bytes = Encode(values, Encoding::kInt8, scale);
  EXPECT_FLOAT_EQ(scale, 2.0f / 127);
  const std::vector<int> expected = {-127, 0, 32, 81, 127, -127, 0};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(static_cast<int8_t>(bytes[i]), expected[i]) << i;
  }
  const std::string zeros = Encode(Floats{0, 0}, Encoding::kInt8, scale);
  EXPECT_EQ(zeros, std::string(2, '\0'));
  EXPECT_GT(scale, 0);
}

TEST(Encode, BinaryPacksFromTheTop) {
  float scale = 0;
  const Floats values = {1, 0, -1, 0.5f, 0, 0, 0, 2, kNan, 3};
  EXPECT_EQ(Encode(values, Encoding::kBinary, scale), std::string("\x91\x40"));
}

TEST(PostProcessing, TextChangesExactlyWithTheSpace) {
  const PostProcessing plain;
  EXPECT_EQ(PostProcessing{.encoding = Encoding::kFloat16}.Canonical(), plain.Canonical());
  EXPECT_EQ(PostProcessing{.encoding = Encoding::kInt8}.Canonical(), plain.Canonical());
  EXPECT_NE(PostProcessing{.encoding = Encoding::kBinary}.Canonical(), plain.Canonical());
  EXPECT_NE(PostProcessing{.l2_normalized = true}.Canonical(), plain.Canonical());
  const PostProcessing projected = {.projection = Small(), .dimensions = 2};
  EXPECT_NE(projected.Canonical(), plain.Canonical());
  const PostProcessing twice = {.l2_normalized = true, .projection = Small(), .dimensions = 2};
  EXPECT_EQ(twice.Canonical(), projected.Canonical());
  const PostProcessing cut = {.projection = Small(), .dimensions = 1};
  EXPECT_NE(cut.Canonical(), projected.Canonical());
}

TEST(FinishHead, PacksAndWarns) {
  HeadSpec head = MakeHead("global_avg");
  head.post = {.projection = Small(), .dimensions = 2, .encoding = Encoding::kFloat16};
  HeadOutput output;
  output.shape = {3};
  output.values = {0.6f, 0.8f, 0};
  FinishHead(head, output);
  EXPECT_EQ(output.shape, (std::vector<int64_t>{2}));
  EXPECT_EQ(output.values.capacity(), 0u);  // nor is memory kept for them
  EXPECT_EQ(output.packed.size(), 4u);
  EXPECT_EQ(output.warnings,
            (std::vector<std::string>{"projection 'small' was fitted on gem, not global_avg"}));
  const auto fitted = std::make_shared<Projection>(*Small());
  fitted->head_pooling = MakeHead("gem", {{"p", 4.0}}).pooling;
  HeadSpec gem = MakeHead("gem");
  gem.post = {.projection = fitted, .dimensions = 2};
  output = {.shape = {3}, .values = {0.6f, 0.8f, 0}};
  FinishHead(gem, output);
  EXPECT_EQ(output.warnings,
            (std::vector<std::string>{"projection 'small' was fitted on layer=late;kind=gem;p=4;"
                                      "eps=1e-06, not layer=late;kind=gem;p=3;eps=1e-06"}));
  head.post = {.encoding = Encoding::kFloat16};
  output = {.shape = {2}, .values = {1e6f, kInfinity}};
  FinishHead(head, output);
  EXPECT_EQ(output.warnings.size(), 1u);  // of the first; infinity was infinite before
}

}  // namespace
}  // namespace pixpool
