#include "server/image/jpeg_layout.h"

#include <gtest/gtest.h>

#include <string>

namespace pixpool {
namespace {

using namespace std::string_literals;  // for operator""s

const std::string kStart = "\xff\xd8";
const std::string kEnd = "\xff\xd9";

// A marker segment.
std::string Segment(uint8_t marker, const std::string& body) {
  return "\xff"s + static_cast<char>(marker) + '\0' + static_cast<char>(body.size() + 2) + body;
}

// A frame of 7 x 5 pixels with components 1 to `components`.
std::string Frame(uint8_t marker, int components) {
  std::string body = "\x08\0\x05\0\x07"s + static_cast<char>(components);
  for (int c = 1; c <= components; ++c) body += static_cast<char>(c) + "\x11\0"s;
  return Segment(marker, body);
}

// A scan of one component, with some entropy-coded bytes.
std::string Scan(int component, int first, int last, int high, int low,
                 const std::string& data = "abc") {
  return Segment(0xda, "\x01"s + static_cast<char>(component) + '\0' + static_cast<char>(first) +
                           static_cast<char>(last) + static_cast<char>(high << 4 | low)) +
         data;
}

JpegLayout Read(const std::string& bytes) {
  const absl::StatusOr<JpegLayout> layout = ReadJpegLayout(bytes);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return layout.ok() ? *layout : JpegLayout();
}

TEST(JpegLayoutTest, ReadsTheFrame) {
  const absl::StatusOr<JpegLayout> layout =
      ReadJpegFrame(kStart + Segment(0xe0, "JFIF") + Frame(0xc0, 3) + Scan(1, 0, 63, 0, 0));
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->width, 7);
  EXPECT_EQ(layout->height, 5);
  EXPECT_EQ(layout->components, 3);
  EXPECT_EQ(layout->orientation, 1);
}

TEST(JpegLayoutTest, EndsAtTheFirstEndMarker) {
  const std::string picture = kStart + Frame(0xc0, 1) + Scan(1, 0, 63, 0, 0) + kEnd;
  const JpegLayout layout = Read(picture + "rest" + kEnd);
  EXPECT_EQ(layout.end, picture.size());
  EXPECT_TRUE(layout.has_end_marker);
  EXPECT_TRUE(layout.all_scans);
}

TEST(JpegLayoutTest, StuffingRestartsAndPaddingDoNotEndAScan) {
  const std::string data =
      "a\xff\0b\xff\xd0"
      "c\xff\xff\0d\xff\xd7"s;
  const std::string picture = kStart + Frame(0xc0, 1) + Scan(1, 0, 63, 0, 0, data) + "\xff" + kEnd;
  const JpegLayout layout = Read(picture);
  EXPECT_EQ(layout.end, picture.size());
  EXPECT_TRUE(layout.has_end_marker);
}

TEST(JpegLayoutTest, NoEndMarker) {
  const std::string picture = kStart + Frame(0xc0, 1) + Scan(1, 0, 63, 0, 0);
  for (const char* tail : {"", "\xff"}) {
    const JpegLayout layout = Read(picture + tail);
    EXPECT_FALSE(layout.has_end_marker);
    EXPECT_TRUE(layout.all_scans);
    EXPECT_EQ(layout.end, picture.size() + std::string(tail).size());
  }
}

TEST(JpegLayoutTest, ProgressiveIsCompleteWithTheLastBitOfEveryCoefficient) {
  std::string picture = kStart + Frame(0xc2, 1) + Scan(1, 0, 0, 0, 1);
  EXPECT_FALSE(Read(picture).all_scans);
  picture += Scan(1, 1, 63, 0, 2);
  EXPECT_FALSE(Read(picture).all_scans);
  picture += Scan(1, 0, 0, 1, 0);
  EXPECT_FALSE(Read(picture).all_scans);
  picture += Scan(1, 1, 63, 2, 1);
  EXPECT_FALSE(Read(picture).all_scans);
  picture += Scan(1, 1, 62, 1, 0);
  EXPECT_FALSE(Read(picture).all_scans);
  picture += Scan(1, 63, 63, 1, 0);
  EXPECT_TRUE(Read(picture).all_scans);
}

TEST(JpegLayoutTest, AComponentWithoutAScanIsAnError) {
  const std::string two = kStart + Frame(0xc0, 3) + Scan(1, 0, 63, 0, 0) + Scan(3, 0, 63, 0, 0);
  EXPECT_FALSE(ReadJpegLayout(two).ok());
  EXPECT_FALSE(ReadJpegLayout(two + kEnd).ok());
  EXPECT_TRUE(ReadJpegLayout(two + Scan(2, 0, 63, 0, 0)).ok());
}

TEST(JpegLayoutTest, ScansAreBounded) {
  std::string picture = kStart + Frame(0xc2, 1);
  for (int i = 0; i < 100; ++i) picture += Scan(1, 0, 63, 0, 0);
  EXPECT_TRUE(ReadJpegLayout(picture).ok());
  EXPECT_FALSE(ReadJpegLayout(picture + Scan(1, 0, 63, 0, 0)).ok());
}

TEST(JpegLayoutTest, MalformedFilesAreErrors) {
  const std::string frame = Frame(0xc0, 1);
  const std::string scan = Scan(1, 0, 63, 0, 0);
  const std::string files[] = {
      kStart,
      kStart + "\xff\xff\xff",
      kStart + kEnd,
      kStart + frame + kEnd,
      kStart + scan,
      kStart + kStart + frame + scan,
      kStart + frame + frame + scan,
      kStart + "stray" + frame + scan,
      kStart + frame + Scan(2, 0, 63, 0, 0),
      kStart + Frame(0xc2, 1) + Scan(1, 5, 4, 0, 0),
      kStart + Frame(0xc2, 1) + Scan(1, 1, 64, 0, 0),
      kStart + "\xff\xe0\0\x01"s + frame + scan,
      kStart + "\xff\xe0\xff\xff"s + frame + scan,
      kStart + frame + "\xff\xda"s,
      kStart + frame + Segment(0xda, ""),
      kStart + frame + Segment(0xda, "\x05"s + std::string(13, '\1')),
      kStart + Segment(0xc0, "\x08\0\x05"s) + scan,
      kStart + Segment(0xc0, "\x08\0\x05\0\x07\x01\x01"s) + scan,
      kStart + Segment(0xc0, "\x08\0\0\0\x07\x01\x01\x11\0"s) + scan,
  };
  int i = 0;
  for (const std::string& file : files) {
    EXPECT_FALSE(ReadJpegFrame(file).ok() && ReadJpegLayout(file).ok()) << "file " << i;
    ++i;
  }
}

}  // namespace
}  // namespace pixpool
