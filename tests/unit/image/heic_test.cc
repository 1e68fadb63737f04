#include <gtest/gtest.h>

#include <string>

#include "server/image/hevc_units.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CheckDamagedCopies;
using testing::CheckEveryCutFails;
using testing::Decode;
using testing::Fixture;
using testing::LoadPicture;
using testing::ReasonOf;

TEST(HeicTest, EqualsPillowHeifOrGivesTheReason) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("heic_");
  ASSERT_GE(fixtures.size(), 300u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(HeicTest, NoCutGivesAPicture) {
  for (const char* name : {"heic_420_67x45.heic", "heic_444_alpha.heic", "heic_grey_64x64.heic",
                           "heic_grid_420_130x64.heic"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    CheckEveryCutFails(bytes, bytes.size());
  }
}

TEST(HeicTest, DamagedCopiesAreSafe) {
  ::testing::internal::CaptureStderr();
  for (const char* name : {"heic_420_67x45.heic", "heic_422_alpha.heic", "heic_turned_6.heic",
                           "heic_grid_420_130x64.heic", "heic_444_64x45_clap_odd.heic"}) {
    CheckDamagedCopies(LoadPicture(name), 700, 6);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(HeicTest, TruncatedFilesAreCalledTruncated) {
  const std::string bytes = LoadPicture("heic_420_67x45.heic");
  for (const size_t size : {bytes.size() - 1, bytes.size() / 2, size_t{300}, size_t{40}}) {
    EXPECT_EQ(std::string(Decode(bytes.substr(0, size)).status().message()),
              "heic image cannot be decoded: it is truncated; check that the file is complete");
  }
}

// What says how a HEIC is turned is no EXIF data, and pillow-heif always turns it.
TEST(HeicTest, TurnsDoNotDependOnExif) {
  const std::string bytes = LoadPicture("heic_turned_6.heic");
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, ImageLimits());
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->orientation, 6);
  EXPECT_EQ(UprightSize(*header, true), (Size{44, 66}));
  EXPECT_EQ(UprightSize(*header, false), (Size{44, 66}));
  EXPECT_EQ(OrientationOf(*header, {.apply_exif = false}), 6);
}

TEST(HeicTest, IndicesOutOfProportionAreRefused) {
  const struct {
    const char* name;
    const char* detail;
  } cases[] = {{"heic_long_index.heic", "its index is over 64 KiB"},
               {"heic_many_tiles.heic", "it has more than 1000 tiles"}};
  for (const auto& c : cases) {
    const absl::Status status = ReadImageHeader(LoadPicture(c.name), ImageLimits()).status();
    EXPECT_EQ(ReasonOf(status), "IMAGE_UNDECODABLE") << c.name;
    EXPECT_NE(status.message().find(c.detail), absl::string_view::npos) << status;
  }
}

// The data of a picture, behind its size.
std::string Unit(int type, const std::string& body) {
  std::string unit = {static_cast<char>(type << 1), 1};
  unit += body;
  const auto size = static_cast<uint32_t>(unit.size());
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift);
  return out + unit;
}

HevcConfiguration ConfigurationOf(const std::string& file) {
  const size_t at = file.find("hvcC");
  return *ReadHevcConfiguration(std::string_view(file).substr(at + 4));
}

TEST(HeicTest, DataThatWouldCostMoreThanItsPictureIsRefused) {
  const std::string file = LoadPicture("heic_420_64x64.heic");
  const HevcConfiguration configuration = ConfigurationOf(file);
  const Size size = {64, 64};
  const std::string slice = Unit(20, std::string("\x80", 1));
  const std::string later = Unit(20, std::string(1, '\0'));
  const auto message = [&](const std::string& data, Size stated) {
    const auto demand = ReadHevcDemand(configuration, data, stated);
    return demand.ok() ? "" : std::string(demand.status().message());
  };
  EXPECT_EQ(message(slice, size), "");
  EXPECT_NE(message("", size).find("no picture"), std::string::npos);
  EXPECT_NE(message(later, size).find("no picture"), std::string::npos);
  EXPECT_NE(message(slice, {63, 64}).find("another size"), std::string::npos);
  EXPECT_NE(message(slice + slice.substr(0, 5), size).find("truncated"), std::string::npos);
  std::string pictures;
  for (int i = 0; i < 9; ++i) pictures += slice;
  EXPECT_NE(message(pictures, size).find("more than 8 pictures"), std::string::npos);
  std::string slices = slice;
  for (int i = 0; i < 600; ++i) slices += later;
  EXPECT_NE(message(slices, size).find("more than 600 slices"), std::string::npos);
  std::string units = slice;
  for (int i = 0; i < 4096; ++i) units += Unit(39, "");
  EXPECT_NE(message(units, size).find("more than 4096 units"), std::string::npos);
}

}  // namespace
}  // namespace pixpool
