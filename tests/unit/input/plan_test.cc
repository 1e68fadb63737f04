#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "server/input/preprocess.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

constexpr int kMaxSide = 2048;

InputRecipe Recipe() { return {.resize_size = 256, .height = 224, .width = 224}; }

InputPlan Plan(const InputOptions& options) {
  const auto plan = MakeInputPlan(Recipe(), options, kMaxSide);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

TEST(MakeInputPlan, WithoutOptionsIsTheRecipe) {
  const InputPlan plan = Plan({});
  EXPECT_EQ(plan.Canonical(),
            "resize=shorter_side:256:bicubic;crop=center:224x224;exif=true;background=none");
}

TEST(MakeInputPlan, OneSideSetsBothAndScalesTheResize) {
  InputPlan plan = Plan({.height = 448});
  EXPECT_EQ(plan.height, 448);
  EXPECT_EQ(plan.width, 448);
  EXPECT_EQ(plan.resize_size, 512);
  plan = Plan({.width = 100});
  EXPECT_EQ(plan.height, 100);
  EXPECT_EQ(plan.resize_size, 114);  // 114.28, rounded down
  plan = Plan({.height = 224, .width = 320});
  EXPECT_EQ(plan.resize_size, 365);  // the larger ratio, 365.7
  plan = Plan({.height = 448, .resize_size = 460});
  EXPECT_EQ(plan.resize_size, 460);
}

// timm's "squash" with a crop_pct below 1: both sides are resized beyond the input, then cropped.
TEST(MakeInputPlan, ExactResizeBeyondTheInputFollowsIt) {
  InputRecipe recipe = {.resize = ResizeMode::kExact, .height = 200, .width = 300};
  recipe.exact_height = 222;
  recipe.exact_width = 333;
  const auto plan_of = [&](const InputOptions& options) {
    const auto plan = MakeInputPlan(recipe, options, kMaxSide);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return *plan;
  };
  EXPECT_EQ(plan_of({}).Canonical(),
            "resize=exact:222x333:bicubic;crop=center:200x300;exif=true;background=none");
  EXPECT_EQ(ResizedSize(plan_of({}), {50, 70}), (Size{333, 222}));
  EXPECT_EQ(*NetworkInputSize(plan_of({}), {50, 70}, kMaxSide), (Size{300, 200}));
  // Each side by itself, rounded down.
  EXPECT_EQ(ResizedSize(plan_of({.height = 101, .width = 600}), {50, 70}), (Size{666, 112}));
  const InputPlan whole = plan_of({.crop = CropMode::kNone});
  EXPECT_EQ(*NetworkInputSize(whole, {50, 70}, kMaxSide), (Size{333, 222}));
  EXPECT_EQ(ResizedSize(ScaledPlan(plan_of({}), 0.5), {50, 70}), (Size{167, 111}));
  // A request that names the mode gets what the mode says.
  EXPECT_EQ(plan_of({.resize = ResizeMode::kExact}).Canonical(),
            "resize=exact:200x300:bicubic;crop=center:200x300;exif=true;background=none");
  // The scale that makes the resized picture too large is found where nothing is cropped.
  EXPECT_TRUE(MakeInputPlan(recipe, {.scales = {4}}, 1200).ok());
  const auto large = MakeInputPlan(recipe, {.crop = CropMode::kNone, .scales = {4}}, 1200);
  EXPECT_EQ(DetailsOf(large.status()).field, "scales[0]");
}

// The field that a refusal of these options names; empty where they are taken.
std::string RefusedField(const InputSizes& sizes, const InputOptions& options) {
  InputRecipe recipe = Recipe();
  recipe.sizes = sizes;
  const absl::Status status = MakeInputPlan(recipe, options, kMaxSide).status();
  if (status.ok()) return "";
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.reason, ErrorReason::kRequestInvalid);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("it takes " + sizes.Text()));
  return details.field;
}

TEST(MakeInputPlan, SizesThatTheNetworkDoesNotTakeNameFieldAndRange) {
  const InputSizes one = {.only = {{224, 224}}};
  EXPECT_EQ(RefusedField(one, {}), "");
  EXPECT_EQ(RefusedField(one, {.height = 224}), "");
  EXPECT_EQ(RefusedField(one, {.height = 256}), "input_height_px");
  EXPECT_EQ(RefusedField(one, {.width = 256}), "input_width_px");
  EXPECT_EQ(RefusedField(one, {.scales = {1}}), "");
  EXPECT_EQ(RefusedField(one, {.scales = {1, 0.5}}), "scales[1]");
  EXPECT_EQ(RefusedField(one, {.resize = ResizeMode::kExact, .crop = CropMode::kNone}), "");
  const InputSizes two = {.only = {{224, 224}, {448, 320}}};
  EXPECT_EQ(RefusedField(two, {.height = 448, .width = 320}), "");
  EXPECT_EQ(RefusedField(two, {.height = 320, .width = 448}), "input_height_px");
  EXPECT_EQ(RefusedField(two, {.scales = {2}}), "scales[0]");
  const InputSizes multiples = {.multiple = 32};
  EXPECT_EQ(RefusedField(multiples, {.height = 96, .width = 320}), "");
  EXPECT_EQ(RefusedField(multiples, {.height = 96, .width = 321}), "input_height_px");
  EXPECT_EQ(RefusedField(multiples, {.scales = {1, 2}}), "");
  EXPECT_EQ(RefusedField(multiples, {.scales = {1.1}}), "scales[0]");

  InputRecipe recipe = Recipe();
  recipe.sizes = one;
  EXPECT_EQ(MakeInputPlan(recipe, {.height = 256}, kMaxSide).status().message(),
            "input_height_px: the network's input would be 256 x 256 pixels (height first); it "
            "takes 224 x 224 pixels alone; the default is 224 x 224");
}

TEST(NetworkInputSize, RefusesWhatTheNetworkDoesNotTake) {
  InputRecipe recipe = Recipe();
  recipe.sizes = {.multiple = 32};
  const auto plan =
      MakeInputPlan(recipe, {.resize = ResizeMode::kNone, .crop = CropMode::kNone}, kMaxSide);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(NetworkInputSize(*plan, {320, 64}, kMaxSide).ok());
  const absl::Status status = NetworkInputSize(*plan, {320, 65}, kMaxSide).status();
  EXPECT_EQ(DetailsOf(status).reason, ErrorReason::kRequestInvalid);
  EXPECT_EQ(status.message(),
            "the network's input would be 65 x 320 pixels (height first); it takes multiples of 32 "
            "pixels a side; resize or crop the picture");
}

TEST(MakeInputPlan, TinyRecipeScaledDownStaysPositive) {
  InputRecipe recipe = Recipe();
  recipe.resize_size = 1;
  const auto plan = MakeInputPlan(recipe, {.height = 16}, kMaxSide);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->resize_size, 1);
}

TEST(MakeInputPlan, BoundsNameTheField) {
  struct Case {
    InputOptions options;
    std::string field;
    ErrorReason reason;
  };
  const std::vector<Case> cases = {
      {{.height = 15}, "input_height_px", ErrorReason::kRequestInvalid},
      {{.height = -1}, "input_height_px", ErrorReason::kRequestInvalid},
      {{.height = 2049}, "input_height_px", ErrorReason::kLimitExceeded},
      {{.width = 15}, "input_width_px", ErrorReason::kRequestInvalid},
      {{.width = 2049}, "input_width_px", ErrorReason::kLimitExceeded},
      {{.resize_size = 0}, "resize_size_px", ErrorReason::kRequestInvalid},
      {{.resize_size = 2049}, "resize_size_px", ErrorReason::kLimitExceeded},
  };
  for (const Case& c : cases) {
    const ErrorDetails details = DetailsOf(MakeInputPlan(Recipe(), c.options, kMaxSide).status());
    EXPECT_EQ(details.field, c.field);
    EXPECT_EQ(details.reason, c.reason) << c.field;
  }
  EXPECT_TRUE(MakeInputPlan(Recipe(), {.height = 16, .width = 2048}, kMaxSide).ok());
}

TEST(Canonical, HoldsWhatDecidesPixelsAndNothingElse) {
  std::set<std::string> texts;
  const std::vector<InputOptions> different = {
      {},
      {.resize = ResizeMode::kExact},
      {.resize = ResizeMode::kNone},
      {.crop = CropMode::kNone},
      {.height = 256},
      {.height = 224, .width = 256, .resize_size = 256},
      {.resize_size = 300},
      {.apply_exif = false},
      {.scaled_decode = true},
      {.background = std::array<uint8_t, 3>{1, 2, 3}},
      {.background = std::array<uint8_t, 3>{12, 3, 0}},
  };
  for (const InputOptions& options : different) texts.insert(Plan(options).Canonical());
  EXPECT_EQ(texts.size(), different.size());
  InputRecipe bilinear = Recipe();
  bilinear.interpolation = Interpolation::kBilinear;
  EXPECT_NE(MakeInputPlan(bilinear, {}, kMaxSide)->Canonical(), Plan({}).Canonical());

  // Without a crop the input size only matters to an exact resize.
  EXPECT_EQ(Plan({.crop = CropMode::kNone, .height = 300, .resize_size = 256}).Canonical(),
            Plan({.crop = CropMode::kNone}).Canonical());
  EXPECT_EQ(Plan({.resize = ResizeMode::kNone, .resize_size = 99}).Canonical(),
            Plan({.resize = ResizeMode::kNone}).Canonical());
  // Nor a scaled decode where the picture is not shrunk.
  EXPECT_EQ(Plan({.resize = ResizeMode::kNone, .scaled_decode = true}).Canonical(),
            Plan({.resize = ResizeMode::kNone}).Canonical());
}

TEST(DecodeFloor, IsTwiceTheLargestResizedSize) {
  EXPECT_EQ(DecodeFloor(Plan({}), {4000, 3000}), (Size{0, 0}));
  EXPECT_EQ(DecodeFloor(Plan({.scaled_decode = true}), {4000, 3000}), (Size{682, 512}));
  EXPECT_EQ(DecodeFloor(Plan({.scaled_decode = true, .scales = {0.5, 2, 1}}), {4000, 3000}),
            (Size{1364, 1024}));
  EXPECT_EQ(DecodeFloor(Plan({.resize = ResizeMode::kExact, .scaled_decode = true}), {50, 70}),
            (Size{448, 448}));
  EXPECT_EQ(DecodeFloor(Plan({.resize = ResizeMode::kNone, .scaled_decode = true}), {50, 70}),
            (Size{0, 0}));
  EXPECT_EQ(DecodeFloor(Plan({.resize = ResizeMode::kNone, .scaled_decode = true, .scales = {.25}}),
                        {400, 800}),
            (Size{200, 400}));
}

TEST(ResizedSize, FollowsTheMode) {
  EXPECT_EQ(ResizedSize(Plan({}), {500, 375}), (Size{341, 256}));
  EXPECT_EQ(ResizedSize(Plan({}), {375, 500}), (Size{256, 341}));
  EXPECT_EQ(ResizedSize(Plan({.resize = ResizeMode::kExact, .height = 96, .width = 64}), {5, 7}),
            (Size{64, 96}));
  EXPECT_EQ(ResizedSize(Plan({.resize = ResizeMode::kNone}), {5, 7}), (Size{5, 7}));
}

TEST(NetworkInputSize, IsTheCropOrTheResizedPicture) {
  EXPECT_EQ(*NetworkInputSize(Plan({}), {500, 375}, kMaxSide), (Size{224, 224}));
  EXPECT_EQ(*NetworkInputSize(Plan({.crop = CropMode::kNone}), {500, 375}, kMaxSide),
            (Size{341, 256}));
  const InputPlan as_it_is = Plan({.resize = ResizeMode::kNone, .crop = CropMode::kNone});
  EXPECT_EQ(*NetworkInputSize(as_it_is, {2048, 16}, kMaxSide), (Size{2048, 16}));
}

TEST(NetworkInputSize, RefusesWhatIsTooLargeOrTooSmall) {
  const InputPlan as_it_is = Plan({.resize = ResizeMode::kNone, .crop = CropMode::kNone});
  EXPECT_EQ(DetailsOf(NetworkInputSize(as_it_is, {2049, 100}, kMaxSide).status()).reason,
            ErrorReason::kLimitExceeded);
  EXPECT_EQ(DetailsOf(NetworkInputSize(as_it_is, {100, 15}, kMaxSide).status()).reason,
            ErrorReason::kRequestInvalid);
  EXPECT_EQ(DetailsOf(NetworkInputSize(as_it_is, {0, 0}, kMaxSide).status()).reason,
            ErrorReason::kRequestInvalid);
  const InputPlan uncropped = Plan({.crop = CropMode::kNone});
  EXPECT_EQ(DetailsOf(NetworkInputSize(uncropped, {2049, 256}, kMaxSide).status()).reason,
            ErrorReason::kLimitExceeded);
}

// The crop of a long thin picture is all that is computed of it, so it needs no limit of its own.
TEST(NetworkInputSize, ExtremeShapesAreFineUnderACrop) {
  EXPECT_EQ(*NetworkInputSize(Plan({}), {16'384, 1}, kMaxSide), (Size{224, 224}));
}

TEST(Scales, OrderAndOneAloneDoNotChangeTheText) {
  const std::string plain = Plan({}).Canonical();
  EXPECT_EQ(Plan({.scales = {1}}).Canonical(), plain);
  EXPECT_EQ(Plan({.scales = {1, 0.5}}).Canonical(), Plan({.scales = {0.5, 1}}).Canonical());
  const std::set<std::string> texts = {
      plain, Plan({.scales = {0.5}}).Canonical(), Plan({.scales = {0.5, 1}}).Canonical(),
      Plan({.flip = true}).Canonical(), Plan({.scales = {0.5}, .flip = true}).Canonical()};
  EXPECT_EQ(texts.size(), 5u);
  // Neighbouring floats are two scales.
  EXPECT_NE(Plan({.scales = {0.7071067}}).Canonical(), Plan({.scales = {0.7071068}}).Canonical());
  // At another scale even an unresized picture is resized, so the filter counts.
  EXPECT_THAT(Plan({.resize = ResizeMode::kNone, .scales = {0.5}}).Canonical(),
              testing::HasSubstr("scales=0.5:bicubic"));
}

TEST(Scales, BoundsNameTheField) {
  const auto field = [](const InputOptions& options) {
    return DetailsOf(MakeInputPlan(Recipe(), options, kMaxSide).status()).field;
  };
  EXPECT_EQ(field({.scales = {1, 0.05}}), "scales[1]");
  EXPECT_EQ(field({.scales = {4.5}}), "scales[0]");
  EXPECT_EQ(field({.scales = {std::nan("")}}), "scales[0]");
  EXPECT_EQ(field({.scales = {1, 0.5, 1}}), "scales[0]");
  EXPECT_EQ(field({.scales = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}}), "scales");
  EXPECT_EQ(field({.height = 100, .scales = {0.1}}), "scales[0]");  // an input of 10 pixels
  const auto large = MakeInputPlan(Recipe(), {.height = 1000, .scales = {4}}, kMaxSide);
  EXPECT_EQ(DetailsOf(large.status()).reason, ErrorReason::kLimitExceeded);
}

TEST(Scales, EachIsAResizeOfThePicture) {
  const InputPlan plan = Plan({.scales = {0.5, 1, 1.5}});
  const InputPlan half = ScaledPlan(plan, 0.5);
  EXPECT_EQ(ResizedSize(half, {500, 375}), (Size{170, 128}));
  EXPECT_EQ(*NetworkInputSize(half, {500, 375}, kMaxSide), (Size{112, 112}));
  const InputPlan as_it_is =
      Plan({.resize = ResizeMode::kNone, .crop = CropMode::kNone, .scales = {0.5}});
  EXPECT_EQ(*NetworkInputSize(ScaledPlan(as_it_is, 0.5), {101, 60}, kMaxSide), (Size{51, 30}));
  EXPECT_EQ(ScaledPlan(plan, 1).Canonical(), plan.Canonical());
}

TEST(PassesOf, AreEveryScalePlainAndMirrored) {
  const std::vector<InputPass> passes = PassesOf(Plan({.scales = {1, 0.5}, .flip = true}));
  ASSERT_EQ(passes.size(), 4u);
  EXPECT_EQ(passes[0].scale, 0.5);
  EXPECT_FALSE(passes[0].mirrored);
  EXPECT_EQ(passes[1].scale, 0.5);
  EXPECT_TRUE(passes[1].mirrored);
  EXPECT_EQ(passes[3].scale, 1);
  EXPECT_EQ(PassesOf(Plan({})).size(), 1u);
}

}  // namespace
}  // namespace pixpool
