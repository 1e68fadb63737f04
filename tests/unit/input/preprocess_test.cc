#include "server/input/preprocess.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/unit/image/parts.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using nlohmann::json;

Image FromGolden(int64_t offset, int height, int width) {
  Image picture(width, height);
  std::memcpy(picture.data(), GoldenData(offset), picture.byte_size());
  return picture;
}

InputPlan ExactPlan(int height, int width, Interpolation interpolation) {
  InputPlan plan;
  plan.resize = ResizeMode::kExact;
  plan.crop = CropMode::kNone;
  plan.interpolation = interpolation;
  plan.height = height;
  plan.width = width;
  return plan;
}

TEST(Resize, EqualsPillowByteForByte) {
  const json cases = ReadGoldens("resize");
  ASSERT_GE(cases.size(), 400u);
  for (const json& c : cases) {
    const auto interpolation =
        c["filter"] == "bilinear" ? Interpolation::kBilinear : Interpolation::kBicubic;
    const int height = c["to"][0];
    const int width = c["to"][1];
    const Image out = Preprocess(FromGolden(c["source"], c["from"][0], c["from"][1]),
                                 ExactPlan(height, width, interpolation));
    ASSERT_EQ(out.height(), height);
    ASSERT_EQ(out.width(), width);
    EXPECT_EQ(std::memcmp(out.data(), GoldenData(c["expected"]), out.byte_size()), 0) << c;
  }
}

// As Pillow: convert("L"), then resize. Colours that are lost after the resize give other levels.
TEST(Grey, ComesBeforeTheResize) {
  const int width = 61;
  const int height = 47;
  Image picture(width, height);
  Image grey(width, height);
  for (size_t i = 0; i < picture.byte_size(); i += 3) {
    uint8_t* const rgb = picture.data() + i;
    for (size_t c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>((i / 3 * 37 + c * 91) % 251);
    const int luma = (19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) / 65536;
    std::fill_n(grey.data() + i, 3, static_cast<uint8_t>(luma));
  }
  InputPlan unchanged;
  unchanged.resize = ResizeMode::kNone;
  unchanged.crop = CropMode::kNone;
  for (InputPlan plan :
       {unchanged, ExactPlan(20, 90, Interpolation::kBicubic),
        ExactPlan(90, 20, Interpolation::kBilinear), ExactPlan(47, 61, Interpolation::kBicubic)}) {
    const Image wanted = PreprocessCopy(grey, plan);
    const Image in_colors = PreprocessCopy(picture, plan);
    plan.grey = true;
    const Image got = PreprocessCopy(picture, plan);
    ASSERT_EQ(got.byte_size(), wanted.byte_size());
    EXPECT_EQ(std::memcmp(got.data(), wanted.data(), wanted.byte_size()), 0);
    EXPECT_NE(std::memcmp(got.data(), in_colors.data(), wanted.byte_size()), 0);
  }
}

TEST(Resize, SizesAreTorchvisions) {
  for (const json& c : ReadGoldens("sizes")) {
    InputPlan plan;
    plan.resize_size = c["target"];
    const Size size = ResizedSize(plan, {c["size"][0], c["size"][1]});
    EXPECT_EQ(size, (Size{c["expected"][0], c["expected"][1]})) << c;
  }
}

// A picture whose pixels say where they came from; never 0 in blue.
Image Coordinates(int width, int height) {
  Image picture(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = picture.row(y) + x * 3;
      pixel[0] = static_cast<uint8_t>(x);
      pixel[1] = static_cast<uint8_t>(y);
      pixel[2] = static_cast<uint8_t>(1 + (x >> 8) + 2 * (y >> 8));
    }
  }
  return picture;
}

void CheckCrop(const Image& out, int width, int height, const json& x_case, const json& y_case) {
  // For each position in the crop where it comes from in the picture; -1 outside.
  const auto sources = [](const json& c, int positions, int side) {
    const int target = c["target"];
    const int shift = c["source"].get<int>() - target;
    std::vector<int> from(positions, -1);
    for (int i = std::max(target, 0); i < positions && i + shift < side; ++i) from[i] = i + shift;
    return from;
  };
  const std::vector<int> columns = sources(x_case, out.width(), width);
  const std::vector<int> rows = sources(y_case, out.height(), height);
  for (int y = 0; y < out.height(); ++y) {
    const int sy = rows[y];
    for (int x = 0; x < out.width(); ++x) {
      const uint8_t* pixel = out.row(y) + x * 3;
      const int sx = columns[x];
      const bool inside = sx >= 0 && sy >= 0;
      ASSERT_EQ(pixel[0], inside ? uint8_t(sx) : 0) << x << ", " << y;
      ASSERT_EQ(pixel[1], inside ? uint8_t(sy) : 0) << x << ", " << y;
      ASSERT_EQ(pixel[2], inside ? 1 + (sx >> 8) + 2 * (sy >> 8) : 0) << x << ", " << y;
    }
  }
}

TEST(Crop, OffsetsAndPaddingAreTorchvisions) {
  const json cases = ReadGoldens("crop");
  ASSERT_GE(cases.size(), 200u);
  for (size_t i = 0; i < cases.size(); ++i) {
    // Another size on the other axis, so that the two are not mixed up.
    const json& x_case = cases[i];
    const json& y_case = cases[(i * 7 + 3) % cases.size()];
    InputPlan plan;
    plan.resize = ResizeMode::kNone;
    plan.width = x_case["crop"];
    plan.height = y_case["crop"];
    const int width = x_case["side"];
    const int height = y_case["side"];
    const Image out = Preprocess(Coordinates(width, height), plan);
    ASSERT_EQ(out.width(), plan.width);
    ASSERT_EQ(out.height(), plan.height);
    SCOPED_TRACE(x_case.dump() + y_case.dump());
    CheckCrop(out, width, height, x_case, y_case);
  }
}

TEST(Preprocess, NothingToDoCopiesNothing) {
  Image picture = NoisePicture(30, 20, 1);
  const uint8_t* pixels = picture.data();
  InputPlan plan;
  plan.resize = ResizeMode::kNone;
  plan.crop = CropMode::kNone;
  Image out = Preprocess(std::move(picture), plan);
  EXPECT_EQ(out.data(), pixels);
  plan.resize = ResizeMode::kShorterSide;
  plan.resize_size = 20;
  plan.crop = CropMode::kCenter;
  plan.width = 30;
  plan.height = 20;
  out = Preprocess(std::move(out), plan);
  EXPECT_EQ(out.data(), pixels);
}

TEST(Preprocess, ResizeThenCropIsTheCropOfTheResize) {
  InputPlan plan;  // shorter side 256, crop 224
  InputPlan resize_only = plan;
  resize_only.crop = CropMode::kNone;
  const Image resized = Preprocess(NoisePicture(400, 300, 2), resize_only);
  ASSERT_EQ(resized.width(), 341);
  const Image out = Preprocess(NoisePicture(400, 300, 2), plan);
  for (int y = 0; y < 224; ++y) {
    // (341 - 224) / 2 = 58.5, to the even 58
    ASSERT_EQ(std::memcmp(out.row(y), resized.row(y + 16) + 58 * 3, 224 * 3), 0) << y;
  }
}

TEST(Preprocess, IsTheSameOnEveryThread) {
  const InputPlan plan;
  const Image expected = Preprocess(NoisePicture(320, 301, 3), plan);
  std::vector<std::thread> threads;
  std::vector<int> same(8);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const Image out = Preprocess(NoisePicture(320, 301, 3), plan);
      same[t] = std::memcmp(out.data(), expected.data(), out.byte_size()) == 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::count(same.begin(), same.end(), 1), 8);
}

TEST(PreprocessCopy, LeavesThePictureAndGivesTheSame) {
  for (const Size size : {Size{400, 300}, Size{224, 224}}) {
    const InputPlan plan;
    InputPlan as_it_is;
    as_it_is.resize = ResizeMode::kNone;
    for (const InputPlan& p : {plan, as_it_is}) {
      const Image picture = NoisePicture(size.width, size.height, 4);
      const Image copied = PreprocessCopy(picture, p);
      const Image moved = Preprocess(NoisePicture(size.width, size.height, 4), p);
      ASSERT_EQ(copied.byte_size(), moved.byte_size());
      EXPECT_EQ(std::memcmp(copied.data(), moved.data(), moved.byte_size()), 0);
      EXPECT_FALSE(picture.empty());
    }
  }
}

TEST(Preprocess, CropsWhatAnExactResizeLeavesOver) {
  const Image picture = NoisePicture(301, 199, 4);
  InputPlan plan = ExactPlan(48, 64, Interpolation::kBicubic);
  plan.exact_height = 53;
  plan.exact_width = 72;
  plan.crop = CropMode::kCenter;
  const Image got = PreprocessCopy(picture, plan);
  const Image whole = PreprocessCopy(picture, ExactPlan(53, 72, Interpolation::kBicubic));
  ASSERT_EQ(got.whole(), (Size{64, 48}));
  for (int row = 0; row < 48; ++row) {  // 2.5 rows, half to even, and 4 columns are cut off
    EXPECT_EQ(std::memcmp(got.row(row), whole.row(row + 2) + 4 * 3, size_t{64} * 3), 0) << row;
  }
}

TEST(NeededRegion, IsEnoughForEveryScaleOfAPlan) {
  InputPlan plan;  // shorter side 256, crop 224
  InputPlan as_it_is = plan;
  as_it_is.resize = ResizeMode::kNone;
  InputPlan squashed = plan;
  squashed.resize = ResizeMode::kExact;
  squashed.crop = CropMode::kNone;
  InputPlan squashed_and_cropped = plan;
  squashed_and_cropped.resize = ResizeMode::kExact;
  squashed_and_cropped.exact_height = 248;
  squashed_and_cropped.exact_width = 260;
  InputPlan several = plan;
  several.scales = {0.5, 1, 1.5};
  for (const InputPlan& p : {plan, as_it_is, squashed, squashed_and_cropped, several}) {
    // A picture in full, one that was decoded at half its size, and one smaller than the crop.
    for (const auto& [decoded, full] :
         {std::pair(Size{700, 430}, Size{700, 430}), std::pair(Size{350, 520}, Size{700, 1040}),
          std::pair(Size{90, 300}, Size{90, 300})}) {
      const Image whole = NoisePicture(decoded.width, decoded.height, 5);
      const Region needed = NeededRegion(p, decoded, full);
      const Image part = testing::CopyPart(whole, needed);
      for (const double scale : p.scales) {
        const Image got = PreprocessCopy(part, ScaledPlan(p, scale), full);
        const Image expected = PreprocessCopy(whole, ScaledPlan(p, scale), full);
        ASSERT_EQ(got.part(), expected.part());
        EXPECT_EQ(std::memcmp(got.data(), expected.data(), expected.byte_size()), 0);
      }
    }
  }
  // 256 of 430 rows are 1:1.68; the crop leaves 16 of 256 at each edge, and a cubic reaches 2
  // * 1.68.
  EXPECT_EQ(NeededRegion(plan, {700, 430}, {700, 430}), (Region{159, 24, 382, 382}));
  EXPECT_EQ(NeededRegion(squashed, {700, 430}, {700, 430}), (Region{0, 0, 700, 430}));
}

TEST(SeenArea, IsTheCropInPixelsOfThePicture) {
  const InputPlan plan;  // shorter side 256, crop 224
  const RegionF area = SeenArea(plan, {512, 512});
  EXPECT_EQ(area.left, 32);
  EXPECT_EQ(area.top, 32);
  EXPECT_EQ(area.right, 480);
  EXPECT_EQ(area.bottom, 480);
  InputPlan whole = plan;
  whole.crop = CropMode::kNone;
  EXPECT_EQ(SeenArea(whole, {500, 375}).right, 500);
  EXPECT_EQ(SeenArea(whole, {500, 375}).top, 0);
  InputPlan padded = plan;  // a picture that is smaller than the crop
  padded.resize = ResizeMode::kNone;
  EXPECT_EQ(SeenArea(padded, {100, 300}).left, -62);
  EXPECT_EQ(SeenArea(padded, {100, 300}).right, 162);
  EXPECT_EQ(SeenArea(padded, {100, 300}).top, 38);
}

TEST(OnInput, GoesThroughResizeAndCrop) {
  const auto expect = [](const RegionF& got, double left, double top, double right, double bottom) {
    EXPECT_DOUBLE_EQ(got.left, left);
    EXPECT_DOUBLE_EQ(got.top, top);
    EXPECT_DOUBLE_EQ(got.right, right);
    EXPECT_DOUBLE_EQ(got.bottom, bottom);
  };
  const InputPlan plan;  // shorter side 256, crop 224
  expect(OnInput(plan, {512, 512}, {0, 32, 480, 512}), -16, 0, 224, 240);
  // The longer side is 341, not 341.33; of that the crop leaves from 58 on (58.5, half to even).
  expect(OnInput(plan, {400, 300}, {0, 0, 400, 300}), -58, -16, 341 - 58, 240);
  expect(OnInput(plan, {400, 300}, {100, 0, 200, 300}), 341 / 4.0 - 58, -16, 341 / 2.0 - 58, 240);
  InputPlan padded = plan;  // a picture that is smaller than the crop
  padded.resize = ResizeMode::kNone;
  expect(OnInput(padded, {100, 300}, {0, 38, 100, 262}), 62, 0, 162, 224);
}

// What the network sees of the picture is its input from edge to edge.
TEST(OnInput, UndoesSeenArea) {
  InputPlan plan;
  for (const Size picture : {Size{640, 480}, Size{333, 1001}, Size{50, 60}, Size{224, 225}}) {
    for (const ResizeMode resize : {ResizeMode::kShorterSide, ResizeMode::kNone}) {
      plan.resize = resize;
      const RegionF on = OnInput(plan, picture, SeenArea(plan, picture));
      EXPECT_NEAR(on.left, 0, 1e-9);
      EXPECT_NEAR(on.top, 0, 1e-9);
      EXPECT_NEAR(on.right, plan.width, 1e-9);
      EXPECT_NEAR(on.bottom, plan.height, 1e-9);
    }
  }
}

}  // namespace
}  // namespace pixpool
