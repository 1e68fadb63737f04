#include <gtest/gtest.h>

#include "server/image/codec.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::Decode;
using testing::Fixture;

// What tests/support/images_alpha.py writes, of all formats.
std::vector<Fixture> PicturesWithAlpha() {
  std::vector<Fixture> all;
  for (const Codec* codec : kCodecs) {
    for (Fixture& fixture : testing::LoadFixtures(std::string(codec->name) + "_cutout_")) {
      all.push_back(std::move(fixture));
    }
  }
  return all;
}

TEST(HiddenColorsTest, AreTakenNoteOfWhereTheyComeToBeSeen) {
  const std::vector<Fixture> pictures = PicturesWithAlpha();
  ASSERT_GE(pictures.size(), 45u);
  for (const Fixture& picture : pictures) {
    SCOPED_TRACE(picture.name);
    const absl::StatusOr<Image> image = Decode(picture.bytes, picture.options);
    ASSERT_TRUE(image.ok()) << image.status();
    const bool wanted = picture.name.find("_hidden") != std::string::npos;
    EXPECT_EQ(image->has_hidden_colors(), wanted);
    EXPECT_TRUE(image->damages().empty());
  }
}

TEST(HiddenColorsTest, AreNoMatterOverABackground) {
  for (const Fixture& picture : PicturesWithAlpha()) {
    SCOPED_TRACE(picture.name);
    const absl::StatusOr<Image> image = Decode(picture.bytes, {.background = {{0, 0, 0}}});
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_FALSE(image->has_hidden_colors());
  }
}

TEST(HiddenColorsTest, AreNoDamage) {
  for (const Fixture& picture : PicturesWithAlpha()) {
    SCOPED_TRACE(picture.name);
    EXPECT_TRUE(Decode(picture.bytes, {.refuse_damaged = true}).ok());
  }
}

}  // namespace
}  // namespace pixpool
