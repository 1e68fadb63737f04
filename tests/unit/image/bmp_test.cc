#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/statusor.h"
#include "server/image/codec.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CheckDamagedCopies;
using testing::CheckEveryCutFails;
using testing::Fixture;
using testing::LoadPicture;

TEST(BmpTest, EqualsPillowOrGivesTheReason) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("bmp_");
  ASSERT_GE(fixtures.size(), 40u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(BmpTest, NoCutGivesAPicture) {
  for (const char* name : {"bmp_64x40.bmp", "bmp_rle8.bmp", "bmp_32.bmp", "bmp_masks4_124.bmp"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    CheckEveryCutFails(bytes, bytes.size() - 2);  // the end mark of runs
  }
}

TEST(BmpTest, AnySidesHaveAPrice) {
  std::string bytes = LoadPicture("bmp_rle8.bmp");
  for (const size_t side : {18, 22}) bytes.replace(side, 4, "\xff\xff\xff\x7f");
  const absl::StatusOr<ImageHeader> header = CodecOf(ImageFormat::kBmp).read_header(bytes);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->height, std::numeric_limits<int>::max());
  EXPECT_GT(header->decode_bytes, int64_t{1} << 32);
}

TEST(BmpTest, DamagedCopiesAreSafe) {
  CheckDamagedCopies(LoadPicture("bmp_24.bmp"), 1500, 1);
  CheckDamagedCopies(LoadPicture("bmp_4_core.bmp"), 1500, 2);
  CheckDamagedCopies(LoadPicture("bmp_rle8_jumps.bmp"), 1500, 3);
  CheckDamagedCopies(LoadPicture("bmp_rle4.bmp"), 1500, 4);
}

}  // namespace
}  // namespace pixpool
