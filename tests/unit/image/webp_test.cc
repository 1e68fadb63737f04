#include <gtest/gtest.h>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CheckDamagedCopies;
using testing::CheckEveryCutFails;
using testing::Fixture;
using testing::LoadPicture;

TEST(WebpTest, AgreesWithPillowOrGivesTheReason) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("webp_");
  ASSERT_GE(fixtures.size(), 30u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(WebpTest, NoCutGivesAPicture) {
  for (const char* name : {"webp_q80_61x43.webp", "webp_lossless_61x43.webp",
                           "webp_alpha_lossy.webp", "webp_animated_partial.webp"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    CheckEveryCutFails(bytes, bytes.size());
  }
}

TEST(WebpTest, DamagedCopiesAreSafe) {
  CheckDamagedCopies(LoadPicture("webp_q80_61x43.webp"), 1500, 1);
  CheckDamagedCopies(LoadPicture("webp_lossless_61x43.webp"), 1500, 2);
  CheckDamagedCopies(LoadPicture("webp_animated_partial.webp"), 1500, 3);
  CheckDamagedCopies(LoadPicture("exif_webp_6_big"), 1500, 4);
}

}  // namespace
}  // namespace pixpool
