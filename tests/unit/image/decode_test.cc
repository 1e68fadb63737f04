#include "server/image/decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "server/base/error.h"
#include "server/image/codec.h"
#include "tests/unit/image/fixtures.h"

namespace {

std::atomic<size_t> largest_allocation{0};

}  // namespace

// Sees what the code under test asks for. Not inlined: GCC would take malloc for a mismatch of
// delete.
[[gnu::noinline]] void* operator new(size_t size) {
  size_t seen = largest_allocation.load();
  while (size > seen && !largest_allocation.compare_exchange_weak(seen, size)) {
  }
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace pixpool {
namespace {

using testing::Decode;
using testing::Fixture;
using testing::LoadPicture;
using testing::ReasonOf;

// One picture of each format, in the order of ImageFormat.
std::vector<Fixture> Samples() {
  std::vector<Fixture> samples;
  for (const std::string_view name : FormatNames()) samples.push_back(testing::LoadSample(name));
  return samples;
}

std::map<std::string, std::string> MetadataOf(const absl::Status& status) {
  const std::optional<ErrorDetails> details = GetErrorDetails(status);
  if (!details.has_value()) return {};
  return {details->metadata.begin(), details->metadata.end()};
}

TEST(DecodeTest, HeadersSayFormatAndSize) {
  const struct {
    const char* name;
    ImageFormat format;
    int width;
    int height;
  } cases[] = {{"jpeg_67x45_420_q75_baseline.jpg", ImageFormat::kJpeg, 67, 45},
               {"jpeg_67x45_444_q95_progressive.jpg", ImageFormat::kJpeg, 67, 45},
               {"png_filters.png", ImageFormat::kPng, 70, 50},
               {"webp_q80_61x43.webp", ImageFormat::kWebp, 61, 43},
               {"webp_lossless_61x43.webp", ImageFormat::kWebp, 61, 43},
               {"webp_animated_partial.webp", ImageFormat::kWebp, 70, 50},
               {"tiff_big.tif", ImageFormat::kTiff, 67, 45},
               {"gif_beyond_the_screen.gif", ImageFormat::kGif, 5, 3},
               {"bmp_24_top_down.bmp", ImageFormat::kBmp, 13, 9},
               {"bmp_24_core.bmp", ImageFormat::kBmp, 13, 9}};
  for (const auto& c : cases) {
    const auto header = ReadImageHeader(LoadPicture(c.name), ImageLimits());
    ASSERT_TRUE(header.ok()) << c.name << header.status();
    EXPECT_EQ(header->format, c.format) << c.name;
    EXPECT_EQ(header->width, c.width) << c.name;
    EXPECT_EQ(header->height, c.height) << c.name;
    EXPECT_EQ(header->orientation, 1) << c.name;
  }
}

// What the tests of a format of its own have beyond that is their matter.
TEST(DecodeTest, EveryFormatHasPicturesThatDecodeAndThatDoNot) {
  for (int f = 0; f < kImageFormatCount; ++f) {
    const std::string name(FormatName(static_cast<ImageFormat>(f)));
    SCOPED_TRACE(name);
    if (!kCodecs[f]->is_built()) continue;
    std::map<std::string, int> count;  // by reason
    for (const Fixture& fixture : testing::LoadFixtures(name + "_")) {
      testing::CheckFixture(fixture);
      ++count[fixture.reason];
      if (!fixture.reason.empty()) continue;
      const auto header = ReadImageHeader(fixture.bytes, {10 << 20, 50'000'000, 65'500});
      ASSERT_TRUE(header.ok()) << fixture.name << header.status();
      EXPECT_EQ(static_cast<int>(header->format), f) << fixture.name;
    }
    EXPECT_GE(count[""], 3);
    EXPECT_GE(count["IMAGE_UNDECODABLE"], 3);
    EXPECT_GE(count["LIMIT_EXCEEDED"], 1);
  }
}

TEST(DecodeTest, NoFormatLosesRowsOrFailsBadly) {
  for (const Fixture& sample : Samples()) {
    SCOPED_TRACE(sample.name);
    testing::CheckFixture(sample);
    // The last bytes may be checksums and an end marker.
    testing::CheckEveryCutFails(sample.bytes, sample.bytes.size() - 24);
    testing::CheckDamagedCopies(sample.bytes, 500, 11);
  }
}

TEST(DecodeTest, OtherFormatsAreUnsupported) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("other_");
  ASSERT_GE(fixtures.size(), 20u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
  const absl::Status pdf = Decode(LoadPicture("other_pdf")).status();
  EXPECT_EQ(std::string(pdf.message()),
            "PDF is not supported; send a " + FormatTitles() + " image");
  EXPECT_EQ(MetadataOf(pdf)["format"], "PDF");
}

TEST(DecodeTest, FormatsThatTheBuildLacksAreRefusedByName) {
  for (const Codec* codec : kCodecs) {
    if (codec->is_built()) continue;
    // Only formats of HEIF files may be lacking: their name is their brand.
    const std::string bytes = std::string(
                                  "\0\0\0\x18"
                                  "ftyp",
                                  8) +
                              std::string(codec->name) + std::string(60, '\0');
    const absl::Status status = Decode(bytes).status();
    EXPECT_EQ(ReasonOf(status), "IMAGE_UNSUPPORTED_FORMAT");
    const std::string title(codec->title);
    EXPECT_EQ(std::string(status.message()),
              title + " is not supported by this server's build (PIXPOOL_" + title + "); send a " +
                  FormatTitles() + " image");
    EXPECT_EQ(MetadataOf(status)["format"], std::string(codec->name));
  }
}

TEST(DecodeTest, FormatsThatAreTurnedOffAreRefusedByName) {
  const std::vector<Fixture> samples = Samples();
  for (size_t on = 0; on < samples.size(); ++on) {
    ImageLimits limits;
    const std::string_view only = FormatNames()[on];
    limits.formats = std::string(only);
    const std::string only_title(FindCodec(samples[on].bytes)->title);
    for (const Fixture& sample : samples) {
      const absl::StatusOr<ImageHeader> header = ReadImageHeader(sample.bytes, limits);
      if (&sample == &samples[on]) {
        EXPECT_TRUE(header.ok()) << header.status();
        continue;
      }
      EXPECT_EQ(ReasonOf(header.status()), "IMAGE_UNSUPPORTED_FORMAT");
      EXPECT_EQ(std::string(header.status().message()),
                std::string(FindCodec(sample.bytes)->title) +
                    " is not taken by this server (--formats); send a " + only_title + " image");
      EXPECT_EQ(MetadataOf(header.status())["flag"], "--formats");
    }
  }
}

TEST(DecodeTest, SeveralFormatsMayBeOn) {
  ImageLimits limits;
  limits.formats = std::string("webp,jpeg");
  EXPECT_TRUE(limits.Takes("jpeg"));
  EXPECT_TRUE(limits.Takes("webp"));
  for (const char* name : {"png", "web", "jpeg,", ",", ""}) EXPECT_FALSE(limits.Takes(name));
  EXPECT_EQ(FormatTitles(limits), "JPEG or WebP");
  const absl::Status pdf = ReadImageHeader(LoadPicture("other_pdf"), limits).status();
  EXPECT_EQ(pdf.message(), "PDF is not supported; send a JPEG or WebP image");
  EXPECT_TRUE(ImageLimits().Takes("png"));
}

TEST(DecodeTest, HardlyAnyBytes) {
  EXPECT_EQ(ReasonOf(Decode("").status()), "IMAGE_UNSUPPORTED_FORMAT");
  for (const Fixture& sample : Samples()) {
    for (size_t size = 0; size <= 20; ++size) {
      EXPECT_FALSE(Decode(sample.bytes.substr(0, size)).ok()) << sample.name << " " << size;
    }
  }
}

TEST(DecodeTest, MagicOfOneFormatWithTheBodyOfAnother) {
  const std::vector<Fixture> samples = Samples();
  for (const Fixture& head : samples) {
    for (const Fixture& body : samples) {
      if (head.name == body.name) continue;
      const std::string bytes = head.bytes.substr(0, 12) + body.bytes.substr(12);
      EXPECT_EQ(ReasonOf(Decode(bytes).status()), "IMAGE_UNDECODABLE")
          << head.name << " " << body.name;
    }
  }
}

TEST(DecodeTest, RandomBytesWithAndWithoutMagic) {
  std::mt19937 random(5);
  const std::vector<Fixture> samples = Samples();
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 3000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const size_t kind = static_cast<size_t>(i) % (samples.size() + 1);
    if (kind < samples.size()) bytes = samples[kind].bytes.substr(0, 12 + i % 8) + bytes;
    const absl::StatusOr<Image> image = Decode(bytes);
    ASSERT_FALSE(image.ok()) << i;
    EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument) << image.status();
  }
}

TEST(DecodeTest, SideLimitIsExact) {
  const std::string wide = LoadPicture("png_65500x1.png");
  const std::string high = LoadPicture("jpeg_1x65500.jpg");
  ImageLimits limits;
  limits.max_side = 65'500;
  EXPECT_TRUE(ReadImageHeader(wide, limits).ok());
  EXPECT_TRUE(ReadImageHeader(high, limits).ok());
  limits.max_side = 65'499;
  const absl::Status status = ReadImageHeader(wide, limits).status();
  EXPECT_EQ(ReasonOf(status), "LIMIT_EXCEEDED");
  EXPECT_EQ(status.message(),
            "image is 65500 pixels wide; the limit is 65499 (--max-image-side); resize it before "
            "sending");
  auto metadata = MetadataOf(status);
  EXPECT_EQ(metadata["actual"], "65500");
  EXPECT_EQ(metadata["limit"], "65499");
  EXPECT_EQ(metadata["flag"], "--max-image-side");
  const absl::Status tall = ReadImageHeader(high, limits).status();
  EXPECT_EQ(ReasonOf(tall), "LIMIT_EXCEEDED");
  EXPECT_NE(tall.message().find("65500 pixels high"), absl::string_view::npos);
}

TEST(DecodeTest, PixelLimitIsExact) {
  const std::string bytes = LoadPicture("png_filters.png");
  ImageLimits limits;
  limits.max_pixels = 70 * 50;
  EXPECT_TRUE(ReadImageHeader(bytes, limits).ok());
  limits.max_pixels = 70 * 50 - 1;
  const absl::Status status = ReadImageHeader(bytes, limits).status();
  EXPECT_EQ(ReasonOf(status), "LIMIT_EXCEEDED");
  EXPECT_EQ(MetadataOf(status)["flag"], "--max-image-pixels");
  EXPECT_EQ(MetadataOf(status)["actual"], "3500");
}

TEST(DecodeTest, ByteLimitIsExactAndComesFirst) {
  for (const std::string& bytes : {LoadPicture("png_filters.png"), std::string(4000, 'x')}) {
    ImageLimits limits;
    limits.max_bytes = static_cast<int64_t>(bytes.size());
    EXPECT_NE(ReasonOf(ReadImageHeader(bytes, limits).status()), "LIMIT_EXCEEDED");
    limits.max_bytes = limits.max_bytes - 1;
    const absl::Status status = ReadImageHeader(bytes, limits).status();
    EXPECT_EQ(ReasonOf(status), "LIMIT_EXCEEDED");
    EXPECT_EQ(MetadataOf(status)["flag"], "--max-image-bytes");
  }
}

TEST(DecodeTest, HeadersOfHugePicturesAllocateNothingForThem) {
  int huge = 0;
  for (const Fixture& fixture : testing::LoadFixtures("")) {
    if (fixture.reason != "LIMIT_EXCEEDED") continue;
    ++huge;
    largest_allocation = 0;
    EXPECT_EQ(ReasonOf(ReadImageHeader(fixture.bytes, ImageLimits()).status()), "LIMIT_EXCEEDED")
        << fixture.name;
    EXPECT_LT(largest_allocation.load(), 4096u) << fixture.name;
  }
  EXPECT_GE(huge, static_cast<int>(FormatNames().size()));
}

TEST(DecodeTest, AHeaderOfOtherBytesIsAnError) {
  const std::vector<Fixture> samples = Samples();
  for (const Fixture& of : samples) {
    const auto header = ReadImageHeader(of.bytes, ImageLimits());
    ASSERT_TRUE(header.ok()) << header.status();
    for (const Fixture& sample : samples) {
      if (sample.name == of.name) continue;
      EXPECT_EQ(ReasonOf(DecodeImage(sample.bytes, *header, {}).status()), "IMAGE_UNDECODABLE");
    }
    ImageHeader smaller = *header;
    --smaller.height;
    EXPECT_EQ(ReasonOf(DecodeImage(of.bytes, smaller, {}).status()), "IMAGE_UNDECODABLE");
  }
}

TEST(DecodeTest, ThreadsDoNotDisturbEachOther) {
  std::vector<Fixture> fixtures;
  for (const char* name : {"jpeg_67x45_", "png_rgb", "webp_alpha"}) {
    for (Fixture& fixture : testing::LoadFixtures(name)) fixtures.push_back(std::move(fixture));
  }
  ASSERT_GE(fixtures.size(), 20u);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&fixtures, t] {
      for (size_t i = 0; i < 3 * fixtures.size(); ++i) {
        testing::CheckFixture(fixtures[(i + t * 7) % fixtures.size()]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace pixpool
