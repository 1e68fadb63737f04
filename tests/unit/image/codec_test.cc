#include "server/image/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "server/base/error.h"

namespace pixpool {
namespace {

// Of all formats of the build, "A, B or C".
std::string AnyOf(std::string_view Codec::*text) {
  std::vector<const Codec*> built;
  for (const Codec* codec : kCodecs) {
    if (codec->is_built()) built.push_back(codec);
  }
  std::string list(built[0]->*text);
  for (size_t i = 1; i < built.size(); ++i) {
    list.append(i + 1 < built.size() ? ", " : " or ").append(built[i]->*text);
  }
  return list;
}

TEST(CodecTest, NamesAreTitlesInLowerCaseAndNoneIsTwice) {
  std::set<std::string_view> names;
  for (int i = 0; i < kImageFormatCount; ++i) {
    const auto format = static_cast<ImageFormat>(i);
    EXPECT_EQ(&CodecOf(format), kCodecs[i]);
    EXPECT_EQ(FormatName(format), kCodecs[i]->name);
    EXPECT_EQ(absl::AsciiStrToLower(std::string(kCodecs[i]->title)), kCodecs[i]->name);
    EXPECT_THAT(std::string(kCodecs[i]->wanted), testing::HasSubstr(kCodecs[i]->title));
    names.insert(FormatName(format));
    EXPECT_EQ(FormatName(format), ImageLimits::kFormatChoices[i + 1]);
    EXPECT_TRUE(kCodecs[i]->is_built() || !kCodecs[i]->build_option.empty());
    EXPECT_EQ(kCodecs[i]->is_built(), kCodecs[i]->read_header != nullptr);
  }
  EXPECT_EQ(names.size(), size_t{kImageFormatCount});
  EXPECT_THAT(names, testing::IsSupersetOf({"jpeg", "png", "webp"}));
  std::vector<std::string_view> built;
  for (const Codec* codec : kCodecs) {
    if (codec->is_built()) built.push_back(codec->name);
  }
  EXPECT_EQ(FormatNames(), built);
}

TEST(CodecTest, WhatIsDecodedIsNotAmongTheOthers) {
  for (const OtherFormat& other : kOtherFormats) {
    for (const Codec* codec : kCodecs) EXPECT_NE(other.title, codec->title);
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
            "png image cannot be decoded: CRC error; send another copy, or save the picture anew");
  EXPECT_EQ(Truncated(ImageFormat::kPng, "it ends early").message(),
            "png image cannot be decoded: it ends early; check that the file is complete");
  const auto details = GetErrorDetails(status);
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, ErrorReason::kImageUndecodable);
  const std::vector<std::pair<std::string, std::string>> metadata = {{"format", "png"},
                                                                     {"detail", "CRC error"}};
  EXPECT_EQ(details->metadata, metadata);

  const absl::Status lossless = UnsupportedVariant(ImageFormat::kJpeg, "lossless JPEG");
  const std::string text(lossless.message());
  EXPECT_THAT(text, testing::StartsWith("lossless JPEG is not supported; send an 8-bit baseline or "
                                        "progressive JPEG, a PNG"));
  EXPECT_EQ(text, "lossless JPEG is not supported; send " + AnyOf(&Codec::wanted) + " image");
  EXPECT_EQ(FormatTitles(), AnyOf(&Codec::title));
  const auto variant = GetErrorDetails(lossless);
  ASSERT_TRUE(variant.has_value());
  EXPECT_EQ(variant->reason, ErrorReason::kImageUnsupportedFormat);
}

}  // namespace
}  // namespace pixpool
