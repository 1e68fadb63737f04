#include <gtest/gtest.h>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CheckDamagedCopies;
using testing::CheckEveryCutFails;
using testing::Fixture;
using testing::LoadPicture;

TEST(GifTest, EqualsPillowOrGivesTheReason) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("gif_");
  ASSERT_GE(fixtures.size(), 40u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(GifTest, NoCutGivesAPicture) {
  for (const char* name : {"gif_palette100_interlaced.gif", "gif_grey.gif"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    CheckEveryCutFails(bytes, bytes.size() - 2);  // the end marks of frame and file
  }
}

TEST(GifTest, DamagedCopiesAreSafe) {
  CheckDamagedCopies(LoadPicture("gif_palette16.gif"), 1500, 1);
  CheckDamagedCopies(LoadPicture("gif_palette100_interlaced.gif"), 1500, 2);
  CheckDamagedCopies(LoadPicture("gif_part_transparent.gif"), 1500, 3);
}

}  // namespace
}  // namespace pixpool
