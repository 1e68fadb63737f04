// The inputs of a picture are those of the whole picture, decoded and then resized and cropped.
#include "server/input/picture_inputs.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::Fixture;

bool Same(const Image& a, const Image& b) {
  return a.width() == b.width() && a.height() == b.height() &&
         std::memcmp(a.data(), b.data(), a.byte_size()) == 0;
}

// A plan of small inputs, any of its options set.
InputPlan RandomPlan(std::mt19937& random) {
  const auto one_in = [&random](unsigned n) { return random() % n == 0; };
  const auto side = [&random] { return 32 + static_cast<int>(random() % 64); };
  InputPlan plan;
  plan.resize = one_in(2) ? ResizeMode::kShorterSide : ResizeMode::kExact;
  plan.crop = plan.resize == ResizeMode::kExact && one_in(2) ? CropMode::kNone : CropMode::kCenter;
  plan.interpolation = one_in(2) ? Interpolation::kBilinear : Interpolation::kBicubic;
  plan.resize_size = side();
  plan.height = side();
  plan.width = side();
  plan.apply_exif = !one_in(3);
  plan.scaled_decode = one_in(3);
  plan.flip = one_in(3);
  plan.grey = one_in(4);
  if (one_in(3)) plan.scales = {0.5, 1};
  if (one_in(3)) plan.background = {255, 255, 255};
  return plan;
}

// The same by the plainest way: all of the picture, then each pass of it.
absl::StatusOr<std::vector<Image>> PlainInputs(const PictureTask& task) {
  const Size full = UprightSize(task.header, task.plan.apply_exif);
  const Size floor = DecodeFloor(task.plan, full);
  const absl::StatusOr<Image> picture = DecodeImage(task.bytes, task.header,
                                                    {.apply_exif = task.plan.apply_exif,
                                                     .background = task.plan.background,
                                                     .min_width = floor.width,
                                                     .min_height = floor.height,
                                                     .refuse_damaged = task.refuse_damaged});
  if (!picture.ok()) return picture.status();
  std::vector<Image> inputs;
  for (const double scale : task.plan.scales) {
    inputs.push_back(PreprocessCopy(*picture, ScaledPlan(task.plan, scale), full));
    if (task.plan.flip) inputs.push_back(ApplyOrientation(CopyImage(inputs.back()), 2));
  }
  return inputs;
}

// Some rectangles of a picture.
std::vector<Region> RandomRegions(std::mt19937& random, Size picture) {
  std::vector<Region> regions(1 + random() % 3);
  for (Region& region : regions) {
    const auto side = [&random](int of) { return 1 + static_cast<int>(random() % of); };
    region.width = side(picture.width);
    region.height = side(picture.height);
    region.left = side(picture.width - region.width + 1) - 1;
    region.top = side(picture.height - region.height + 1) - 1;
  }
  return regions;
}

// The inputs of regions, each as if it had been sent as pixels.
std::vector<Image> PlainRegionInputs(const PictureTask& task, const Image& picture) {
  std::vector<Image> inputs;
  for (const Region& region : task.regions) {
    std::string pixels;
    for (int y = region.top; y < region.bottom(); ++y) {
      pixels.append(reinterpret_cast<const char*>(picture.row(y) + 3 * region.left),
                    3 * static_cast<size_t>(region.width));
    }
    const PictureTask alone = {.bytes = pixels,
                               .header = {.width = region.width, .height = region.height},
                               .is_raw = true,
                               .plan = task.plan};
    absl::StatusOr<PictureInputs> made = MakeInputs(alone, *Clock::Real());
    EXPECT_TRUE(made.ok()) << made.status();
    for (Image& input : made->inputs) inputs.push_back(std::move(input));
  }
  return inputs;
}

// Regions come behind the whole picture's inputs or alone, with or without the picture.
void CheckRegions(PictureTask task, std::mt19937& random, const std::string& name) {
  absl::StatusOr<Image> picture = DecodeImage(task.bytes, task.header,
                                              {.apply_exif = task.plan.apply_exif,
                                               .background = task.plan.background,
                                               .refuse_damaged = task.refuse_damaged});
  task.regions = RandomRegions(random, UprightSize(task.header, task.plan.apply_exif));
  task.whole = random() % 2 == 0;
  const absl::StatusOr<PictureInputs> made = MakeInputs(task, *Clock::Real());
  if (!picture.ok()) {
    ASSERT_FALSE(made.ok()) << name;
    return;
  }
  ASSERT_TRUE(made.ok()) << name << made.status();
  std::vector<Image> wanted;
  if (task.whole) wanted = *PlainInputs(task);
  for (Image& input : PlainRegionInputs(task, *picture)) wanted.push_back(std::move(input));
  ASSERT_EQ(made->inputs.size(), wanted.size()) << name;
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_TRUE(Same(made->inputs[i], wanted[i])) << name << ", input " << i;
  }
  ASSERT_EQ(made->picture.empty(), !task.keep_picture) << name;
  ASSERT_TRUE(!task.keep_picture || Same(made->picture, *picture)) << name;
}

void Check(const PictureTask& task, const std::string& name) {
  const absl::StatusOr<PictureInputs> made = MakeInputs(task, *Clock::Real());
  const absl::StatusOr<std::vector<Image>> wanted = PlainInputs(task);
  ASSERT_EQ(made.status(), wanted.status()) << name;
  if (!made.ok()) return;
  ASSERT_EQ(made->inputs.size(), wanted->size()) << name;
  for (size_t i = 0; i < wanted->size(); ++i) {
    ASSERT_TRUE(Same(made->inputs[i], (*wanted)[i])) << name << ", pass " << i;
  }
  const bool cut_out = name.find("_cutout_hidden") != std::string::npos && !task.plan.background;
  ASSERT_TRUE(made->has_hidden_colors || !cut_out) << name;
  ASSERT_EQ(made->picture.empty(), !task.keep_picture) << name;
  if (!task.keep_picture) return;
  const absl::StatusOr<Image> whole =
      DecodeImage(task.bytes, task.header,
                  {.apply_exif = task.plan.apply_exif, .background = task.plan.background});
  ASSERT_TRUE(whole.ok()) << name;
  ASSERT_TRUE(Same(made->picture, *whole)) << name;
}

TEST(PictureInputs, OfEveryFileAreThoseOfTheWholePicture) {
  std::mt19937 random(1);
  int good = 0;
  for (const Fixture& fixture : testing::LoadFixtures("")) {
    const absl::StatusOr<ImageHeader> header = ReadImageHeader(fixture.bytes, ImageLimits());
    if (!header.ok()) continue;
    // A few of the pictures are huge, and the plain way takes all of their pixels.
    if (int64_t{header->width} * header->height > 2'000'000) continue;
    ++good;
    for (int i = 0; i < 6; ++i) {
      ImageHeader turned = *header;
      if (i >= 4) turned.orientation = 1 + static_cast<int>(random() % 8);  // as if it said so
      Check({.bytes = fixture.bytes,
             .header = turned,
             .is_raw = false,
             .plan = RandomPlan(random),
             .refuse_damaged = random() % 4 == 0,
             .keep_picture = random() % 4 == 0},
            fixture.name);
    }
  }
  EXPECT_GT(good, 200);
}

TEST(PictureInputs, OfRegionsAreThoseOfTheirPixels) {
  std::mt19937 random(3);
  int good = 0;
  for (const Fixture& fixture : testing::LoadFixtures("")) {
    const absl::StatusOr<ImageHeader> header = ReadImageHeader(fixture.bytes, ImageLimits());
    if (!header.ok() || int64_t{header->width} * header->height > 2'000'000) continue;
    ++good;
    for (int i = 0; i < 2; ++i) {
      ImageHeader turned = *header;
      if (i == 1) turned.orientation = 1 + static_cast<int>(random() % 8);  // as if it said so
      CheckRegions({.bytes = fixture.bytes,
                    .header = turned,
                    .plan = RandomPlan(random),
                    .refuse_damaged = random() % 4 == 0,
                    .keep_picture = random() % 4 == 0},
                   random, fixture.name);
    }
  }
  EXPECT_GT(good, 200);
}

TEST(PictureInputs, OfRegionsOfPixelsAreThoseOfTheirPixels) {
  std::mt19937 random(4);
  std::string pixels(120 * 90 * 3, 0);
  for (char& value : pixels) value = static_cast<char>(random());
  Image picture(120, 90);
  std::memcpy(picture.data(), pixels.data(), pixels.size());
  for (int i = 0; i < 20; ++i) {
    PictureTask task = {.bytes = pixels,
                        .header = {.width = 120, .height = 90},
                        .is_raw = true,
                        .plan = RandomPlan(random),
                        .keep_picture = i % 2 == 0,
                        .regions = RandomRegions(random, {120, 90}),
                        .whole = false};
    const absl::StatusOr<PictureInputs> made = MakeInputs(task, *Clock::Real());
    ASSERT_TRUE(made.ok());
    const std::vector<Image> wanted = PlainRegionInputs(task, picture);
    ASSERT_EQ(made->inputs.size(), wanted.size());
    for (size_t k = 0; k < wanted.size(); ++k) ASSERT_TRUE(Same(made->inputs[k], wanted[k]));
    ASSERT_EQ(made->picture.empty(), !task.keep_picture);
  }
}

TEST(PictureInputs, OfPixelsAreThoseOfThePicture) {
  std::mt19937 random(2);
  for (int i = 0; i < 200; ++i) {
    const Size size = {1 + static_cast<int>(random() % 300), 1 + static_cast<int>(random() % 300)};
    std::string pixels(static_cast<size_t>(size.width) * static_cast<size_t>(size.height) * 3, 0);
    for (char& value : pixels) value = static_cast<char>(random());
    PictureTask task = {.bytes = pixels,
                        .header = {.width = size.width, .height = size.height},
                        .is_raw = true,
                        .plan = RandomPlan(random),
                        .keep_picture = i % 2 == 0};
    const absl::StatusOr<PictureInputs> made = MakeInputs(task, *Clock::Real());
    ASSERT_TRUE(made.ok());
    Image picture(size.width, size.height);
    std::memcpy(picture.data(), pixels.data(), pixels.size());
    size_t pass = 0;
    for (const double scale : task.plan.scales) {
      const Image wanted = PreprocessCopy(picture, ScaledPlan(task.plan, scale), size);
      ASSERT_TRUE(Same(made->inputs[pass++], wanted));
      if (!task.plan.flip) continue;
      ASSERT_TRUE(Same(made->inputs[pass++], ApplyOrientation(CopyImage(wanted), 2)));
    }
    ASSERT_EQ(pass, made->inputs.size());
    ASSERT_TRUE(made->picture.empty() ? !task.keep_picture : Same(made->picture, picture));
  }
}

}  // namespace
}  // namespace pixpool
