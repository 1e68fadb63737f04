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

const char* const kPictures[] = {"jpeg_67x45_420_q75_baseline.jpg", "png_filters.png",
                                 "webp_q80_61x43.webp"};
static_assert(std::size(kPictures) == kImageFormatCount, "one picture of each format");

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
               {"webp_animated_partial.webp", ImageFormat::kWebp, 70, 50}};
  for (const auto& c : cases) {
    const auto header = ReadImageHeader(LoadPicture(c.name), ImageLimits());
    ASSERT_TRUE(header.ok()) << c.name << header.status();
    EXPECT_EQ(header->format, c.format) << c.name;
    EXPECT_EQ(header->width, c.width) << c.name;
    EXPECT_EQ(header->height, c.height) << c.name;
    EXPECT_EQ(header->orientation, 1) << c.name;
  }
}

TEST(DecodeTest, OtherFormatsAreUnsupported) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("other_");
  ASSERT_GE(fixtures.size(), 20u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
  const absl::Status gif = Decode(LoadPicture("other_gif")).status();
  EXPECT_EQ(gif.message(), "GIF is not supported; send a JPEG, PNG or WebP image");
  EXPECT_EQ(MetadataOf(gif)["format"], "GIF");
}

TEST(DecodeTest, HardlyAnyBytes) {
  EXPECT_EQ(ReasonOf(Decode("").status()), "IMAGE_UNSUPPORTED_FORMAT");
  for (const char* name : kPictures) {
    for (size_t size = 0; size <= 20; ++size) {
      EXPECT_FALSE(Decode(LoadPicture(name).substr(0, size)).ok()) << name << " " << size;
    }
  }
}

TEST(DecodeTest, MagicOfOneFormatWithTheBodyOfAnother) {
  for (const char* head : kPictures) {
    for (const char* body : kPictures) {
      if (head == body) continue;
      const std::string bytes = LoadPicture(head).substr(0, 12) + LoadPicture(body).substr(12);
      EXPECT_EQ(ReasonOf(Decode(bytes).status()), "IMAGE_UNDECODABLE") << head << " " << body;
    }
  }
}

TEST(DecodeTest, RandomBytesWithAndWithoutMagic) {
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random() % 3000, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (i % 4 != 3) bytes = LoadPicture(kPictures[i % 4]).substr(0, 12 + i % 8) + bytes;
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
  for (const char* name : {"png_bomb.png", "jpeg_claims_65500.jpg", "webp_claims_canvas.webp"}) {
    const std::string bytes = LoadPicture(name);
    largest_allocation = 0;
    EXPECT_EQ(ReasonOf(ReadImageHeader(bytes, ImageLimits()).status()), "LIMIT_EXCEEDED") << name;
    EXPECT_LT(largest_allocation.load(), 4096u) << name;
  }
}

TEST(DecodeTest, AHeaderOfOtherBytesIsAnError) {
  for (const char* of : kPictures) {
    const auto header = ReadImageHeader(LoadPicture(of), ImageLimits());
    ASSERT_TRUE(header.ok()) << header.status();
    for (const char* name : kPictures) {
      if (name == of) continue;
      EXPECT_EQ(ReasonOf(DecodeImage(LoadPicture(name), *header, {}).status()),
                "IMAGE_UNDECODABLE");
    }
    ImageHeader smaller = *header;
    --smaller.height;
    EXPECT_EQ(ReasonOf(DecodeImage(LoadPicture(of), smaller, {}).status()), "IMAGE_UNDECODABLE");
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
