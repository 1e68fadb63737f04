#include "server/image/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "server/base/error.h"
#include "server/metrics/metrics.h"

namespace pixpool {
namespace {

TEST(CodecTest, EveryFormatHasItsRow) {
  std::set<std::string_view> names;
  for (int i = 0; i < kImageFormatCount; ++i) {
    const auto format = static_cast<ImageFormat>(i);
    EXPECT_EQ(kCodecs[i].format, format);
    EXPECT_EQ(&CodecOf(format), kCodecs[i].codec);
    names.insert(FormatName(format));
  }
  EXPECT_EQ(names, (std::set<std::string_view>{"jpeg", "png", "webp"}));
}

TEST(CodecTest, EveryFormatIsCountedUnderItsName) {
  Metrics metrics;
  for (int i = 0; i < kImageFormatCount; ++i) {
    metrics.ImageSeen(FormatName(static_cast<ImageFormat>(i)), 1, 1);
  }
  const std::string text = metrics.Scrape();
  for (int i = 0; i < kImageFormatCount; ++i) {
    const std::string name(FormatName(static_cast<ImageFormat>(i)));
    EXPECT_THAT(text,
                testing::HasSubstr("pixpool_images_received_total{format=\"" + name + "\"} 1"));
  }
}

TEST(CodecTest, FindsByMagicAlone) {
  EXPECT_EQ(FindCodec("\xff\xd8\xff"), &CodecOf(ImageFormat::kJpeg));
  EXPECT_EQ(FindCodec("\x89PNG\r\n\x1a\n"), &CodecOf(ImageFormat::kPng));
  EXPECT_EQ(FindCodec("RIFF....WEBP"), &CodecOf(ImageFormat::kWebp));
  for (const char* bytes : {"", "\xff", "\xff\xd8", "\x89PNG\r\n\x1a", "RIFF....WEB",
                            "RIFF....WAVE", " \xff\xd8\xff"}) {
    EXPECT_EQ(FindCodec(bytes), nullptr) << bytes;
  }
}

TEST(CodecTest, ErrorsNameFormatAndDetail) {
  const absl::Status status = Undecodable(ImageFormat::kPng, "CRC error");
  EXPECT_EQ(status.message(),
            "png image cannot be decoded: CRC error; check that the file is complete");
  const auto details = GetErrorDetails(status);
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, ErrorReason::kImageUndecodable);
  const std::vector<std::pair<std::string, std::string>> metadata = {{"format", "png"},
                                                                     {"detail", "CRC error"}};
  EXPECT_EQ(details->metadata, metadata);

  const absl::Status lossless = UnsupportedVariant(ImageFormat::kJpeg, "lossless JPEG");
  EXPECT_EQ(lossless.message(),
            "lossless JPEG is not supported; send an 8-bit baseline or progressive JPEG, a PNG or "
            "a WebP image");
  const auto variant = GetErrorDetails(lossless);
  ASSERT_TRUE(variant.has_value());
  EXPECT_EQ(variant->reason, ErrorReason::kImageUnsupportedFormat);
}

}  // namespace
}  // namespace pixpool
