#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/image/heif_items.h"
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

// What each tile of a grid may ask for again.
TEST(HeicTest, ParameterSetsAreBounded) {
  const std::string file = LoadPicture("heic_420_64x64.heic");
  HevcConfiguration configuration = ConfigurationOf(file);
  const std::string slice = Unit(20, std::string("\x80", 1));
  std::string_view sequence;
  for (const std::string_view unit : configuration.units) {
    if (ReadHevcSequence(unit) && (unit[0] >> 1 & 63) == 33) sequence = unit;
  }
  ASSERT_FALSE(sequence.empty());
  while (std::count(configuration.units.begin(), configuration.units.end(), sequence) < 16) {
    configuration.units.push_back(sequence);
  }
  EXPECT_TRUE(ReadHevcDemand(configuration, slice, {64, 64}).ok());
  configuration.units.push_back(sequence);
  EXPECT_NE(ReadHevcDemand(configuration, slice, {64, 64}).status().message().find("16 sequence"),
            absl::string_view::npos);

  // Empty units cost a step as well.
  std::string body(22, '\0');
  body += std::string("\1\0\x20\1", 4) + std::string(2 * 0x2001, '\0');
  EXPECT_FALSE(ReadHevcConfiguration(body).has_value());
}

// The price of a picture goes by what its boxes state.
TEST(HeicTest, SamplesOtherThanTheBoxesStateAreRefused) {
  const std::string file = LoadPicture("heic_420_64x64.heic");
  const std::string slice = Unit(20, std::string("\x80", 1));
  HevcConfiguration grey = ConfigurationOf(file);
  grey.chroma = 0;
  HevcConfiguration deep = ConfigurationOf(file);
  deep.luma_bits = 10;
  for (const HevcConfiguration& other : {grey, deep}) {
    EXPECT_NE(ReadHevcDemand(other, slice, {64, 64}).status().message().find("other samples"),
              absl::string_view::npos);
  }
}

// A box of this type and body.
std::string Box(const std::string& type, const std::string& body) {
  const auto size = static_cast<uint32_t>(body.size() + 8);
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift);
  return out + type + body;
}

// Pieces of an item are copied to be joined. The sizes of numbers that `iloc` states are such that
// a look at them that takes what they say at face value reads other numbers than libheif does.
TEST(HeicTest, PiecesAreNoMoreThanTheFile) {
  std::string file = LoadPicture("heic_420_64x64.heic");
  const size_t at = file.find("iloc");
  ASSERT_NE(at, std::string::npos);
  const auto half = static_cast<uint32_t>(file.size() / 2 - 40);
  std::string length;
  for (int shift = 24; shift >= 0; shift -= 8) length += static_cast<char>(half >> shift);
  for (const char base : {'\0', '\xf0'}) {
    for (const int pieces : {1, 2, 3}) {
      std::string body = std::string(4, '\0') + '\x04' + base + std::string("\0\1\0\1\0\0\0", 7) +
                         static_cast<char>(pieces);
      for (int i = 0; i < pieces; ++i) body += length;
      // The whole index is made anew around it.
      const size_t size_at = at - 4;
      const auto old = static_cast<size_t>(static_cast<uint8_t>(file[size_at + 2])) << 8 |
                       static_cast<uint8_t>(file[size_at + 3]);
      const size_t meta = file.find("meta") - 4;
      std::string changed = file;
      changed.replace(size_at, old, Box("iloc", body));
      const size_t meta_size = (static_cast<size_t>(static_cast<uint8_t>(file[meta + 2])) << 8 |
                                static_cast<uint8_t>(file[meta + 3])) -
                               old + body.size() + 8;
      changed[meta + 2] = static_cast<char>(meta_size >> 8);
      changed[meta + 3] = static_cast<char>(meta_size);
      const auto items = HeifItems::Read(ImageFormat::kHeic, changed);
      EXPECT_EQ(items.ok(), pieces < 3) << pieces << " " << int{base} << " " << items.status();
    }
  }
}

}  // namespace
}  // namespace pixpool
