#include "server/image/jpeg_layout.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/image/fixtures.h"

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

const std::string kScan = Segment(0xda, "\x01\x01\0\0\x3f\0"s) + "abc";

void ExpectLayout(const std::string& bytes, int components) {
  const absl::StatusOr<JpegLayout> layout = ReadJpegFrame(bytes);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->width, 7);
  EXPECT_EQ(layout->height, 5);
  EXPECT_EQ(layout->components, components);
  EXPECT_EQ(layout->orientation, 1);
}

TEST(JpegLayoutTest, ReadsTheFrame) {
  ExpectLayout(kStart + Segment(0xe0, "JFIF\0\1\1"s) + Frame(0xc0, 3) + kScan, 3);
  ExpectLayout(kStart + Frame(0xc2, 4) + kScan, 4);
}

TEST(JpegLayoutTest, JunkPaddingAndStrayMarkersAreSkipped) {
  const std::string frame = Frame(0xc0, 1);
  ExpectLayout(kStart + "\xff\xff\xff" + frame.substr(1) + kScan, 1);
  ExpectLayout(kStart + frame + "stray\xff\0bytes"s + kScan, 1);
  ExpectLayout(kStart + Segment(0xfe, "text") + kEnd + kStart + "\xff\xd3" + frame + kScan, 1);
  ExpectLayout(kStart + "\xff\xfe\0\0"s + frame + kScan, 1);  // a comment of less than nothing
}

TEST(JpegLayoutTest, TheLastFrameBeforeTheScanCounts) {
  ExpectLayout(kStart + Frame(0xc0, 3) + Frame(0xc0, 1) + kScan, 1);
}

TEST(JpegLayoutTest, MalformedFilesAreErrors) {
  const std::string frame = Frame(0xc0, 1);
  const std::string files[] = {
      kStart,
      kStart + "\xff\xff\xff",
      kStart + kEnd,
      kStart + frame + kEnd,
      kStart + kScan,
      kStart + "\xff\x02" + frame + kScan,
      kStart + "\xff\xe0\xff\xff"s + frame + kScan,
      kStart + frame + "\xff\xda"s,
      kStart + Segment(0xc0, "\x08\0\x05"s) + kScan,
      kStart + Segment(0xc0, "\x08\0\x05\0\x07\x01\x01"s) + kScan,
      kStart + Segment(0xc0, "\x08\0\0\0\x07\x01\x01\x11\0"s) + kScan,
      kStart + Segment(0xe0, "JFIF"s) + frame + kScan,
      kStart + Segment(0xee, "Adobe\0"s) + frame + kScan,
      kStart + Segment(0xe2, "ICC_PROFILE\0\1"s) + frame + kScan,
      kStart + Segment(0xdb, "\0abc"s) + frame + kScan,
      kStart + Segment(0xed, "Photoshop 3.0\0"s + "8BIM\4\4"s) + frame + kScan,
  };
  int i = 0;
  for (const std::string& file : files) {
    EXPECT_EQ(testing::ReasonOf(ReadJpegFrame(file).status()), "IMAGE_UNDECODABLE") << "file " << i;
    ++i;
  }
}

TEST(JpegLayoutTest, OtherKindsOfJpegAreToldByName) {
  for (const int marker : {0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf}) {
    const absl::Status status =
        ReadJpegFrame(kStart + Frame(static_cast<uint8_t>(marker), 1) + kScan).status();
    EXPECT_EQ(testing::ReasonOf(status), "IMAGE_UNSUPPORTED_FORMAT") << status;
  }
  EXPECT_EQ(testing::ReasonOf(ReadJpegFrame(kStart + Frame(0xc0, 2) + kScan).status()),
            "IMAGE_UNSUPPORTED_FORMAT");
}

}  // namespace
}  // namespace pixpool
