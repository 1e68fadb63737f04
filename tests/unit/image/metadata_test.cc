// What no picture of Pillow's shows: hostile files, and what they may cost.
#include "server/image/metadata.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>
#include <string>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

std::string Big32(size_t value) {
  std::string bytes(4, '\0');
  for (size_t i = 0; i < 4; ++i) bytes[i] = static_cast<char>(value >> (24 - 8 * i));
  return bytes;
}

// A chunk; nobody looks at checksums before the pixels are read.
std::string Chunk(const std::string& type, const std::string& body) {
  return Big32(body.size()) + type + body + std::string(4, '\0');
}

std::string Png(const std::string& chunks) {
  return std::string("\x89PNG\r\n\x1a\n") + Chunk("IHDR", std::string(13, '\1')) + chunks +
         Chunk("IEND", "");
}

std::string Packed(const std::string& text) {
  uLongf size = compressBound(text.size());
  std::string packed(size, '\0');
  EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                      reinterpret_cast<const Bytef*>(text.data()), text.size(), 9),
            Z_OK);
  packed.resize(size);
  return packed;
}

std::string XmpChunk(const std::string& text) {
  return Chunk("zTXt", std::string("XML:com.adobe.xmp\0\0", 19) + Packed(text));
}

constexpr char kTurned[] = "<tiff:Orientation>6</tiff:Orientation>";

TEST(MetadataTest, ExifComesBeforeXmp) {
  const std::string exif("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0", 22);
  EXPECT_EQ(ReadOrientation(exif, kTurned), 3);
  EXPECT_EQ(ReadOrientation("", kTurned), 6);
  EXPECT_EQ(ReadOrientation("no TIFF block", kTurned), 1);
  EXPECT_EQ(ReadOrientation("", ""), 1);
}

TEST(MetadataTest, TextIsUnpackedUpToAMebibyte) {
  const size_t room = (1 << 20) - sizeof(kTurned) + 1;
  EXPECT_EQ(ReadPngOrientation(Png(XmpChunk(std::string(room, ' ') + kTurned))), 6);
  EXPECT_EQ(ReadPngOrientation(Png(XmpChunk(kTurned + std::string(room + 1, ' ')))), 1);
}

// Ten thousand chunks that would unpack to ten gigabytes take no longer than a few of them.
TEST(MetadataTest, ManyTextsAreNotAllUnpacked) {
  const std::string bomb = XmpChunk(std::string(1 << 20, ' '));
  std::string chunks;
  for (int i = 0; i < 10'000; ++i) chunks += bomb;
  EXPECT_EQ(ReadPngOrientation(Png(chunks)), 1);
  EXPECT_EQ(ReadPngOrientation(Png(chunks + XmpChunk(kTurned))), 6);
}

TEST(MetadataTest, AnyBytesAreSafe) {
  std::mt19937 random(3);
  for (const char* kind : {"exif_any_png", "exif_any_animated_png", "exif_any_webp"}) {
    for (const testing::Fixture& fixture : testing::LoadFixtures(kind)) {
      for (int i = 0; i < 20; ++i) {
        std::string copy = fixture.bytes.substr(0, random() % (fixture.bytes.size() + 1));
        for (int k = 0; k < i % 6 && !copy.empty(); ++k) {
          copy[random() % copy.size()] = static_cast<char>(random());
        }
        // A copy of its own, so that a read past its end is seen by the address sanitizer.
        const std::vector<char> bytes(copy.begin(), copy.end());
        const std::string_view view(bytes.data(), bytes.size());
        for (const int turned : {ReadPngOrientation(view), ReadWebpOrientation(view)}) {
          EXPECT_GE(turned, 1);
          EXPECT_LE(turned, 8);
        }
      }
    }
  }
}

}  // namespace
}  // namespace pixpool
