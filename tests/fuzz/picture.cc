// A decoder, of the format that PIXPOOL_FUZZ_FORMAT names: the header, the whole picture, and then
// one of the other ways in which requests want it, held against the whole.
#include <functional>
#include <random>

#include "server/base/error.h"
#include "server/image/codec.h"
#include "server/image/decode.h"
#include "tests/fuzz/require.h"
#include "tests/unit/image/parts.h"

namespace pixpool {
namespace {

using testing::Require;

// Small, so that many files are tried; sizes beyond have the same code.
const ImageLimits kLimits = {1 << 20, 1 << 16, 2048};

void RequireReason(const absl::Status& status) {
  Require(GetErrorDetails(status).has_value(), "every error has a reason");
}

void RequireAlike(const absl::StatusOr<Image>& whole, const absl::StatusOr<Image>& other) {
  Require(whole.ok() == other.ok(), "a picture is taken or refused in whatever way it is wanted");
  if (!other.ok()) RequireReason(other.status());
}

void Try(std::string_view bytes) {
  const Codec* codec = FindCodec(bytes);
  if (codec == nullptr || codec->name != PIXPOOL_FUZZ_FORMAT) return;
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, kLimits);
  if (!header.ok()) return RequireReason(header.status());
  Require(header->width >= 1 && header->height >= 1, "a picture has pixels");
  Require(header->orientation >= 1 && header->orientation <= 8, "an orientation is 1 to 8");

  const DecodeOptions plain = {.apply_exif = false};
  const absl::StatusOr<Image> whole = DecodeImage(bytes, *header, plain);
  if (!whole.ok()) RequireReason(whole.status());
  const Size size = UprightSize(*header, plain.apply_exif);
  Require(!whole.ok() || whole->whole() == size, "a picture has the size of its header");

  std::mt19937 random(static_cast<uint32_t>(std::hash<std::string_view>()(bytes)));
  DecodeOptions options = plain;
  switch (random() % 4) {
    case 0: {
      options.refuse_damaged = true;
      const absl::StatusOr<Image> strict = DecodeImage(bytes, *header, options);
      Require(strict.ok() == (whole.ok() && whole->damages().empty()),
              "what is damaged is refused where that is asked for, and nothing else");
      break;
    }
    case 1: {
      options.part = testing::RandomPart(size, random);
      const absl::StatusOr<Image> part = DecodeImage(bytes, *header, options);
      RequireAlike(whole, part);
      Require(!part.ok() || testing::HasPixels(*part, *whole, *options.part),
              "a part has the pixels of the whole");
      break;
    }
    case 2: {
      options.apply_exif = true;
      options.background = {1, 128, 254};
      const absl::StatusOr<Image> upright = DecodeImage(bytes, *header, options);
      RequireAlike(whole, upright);
      Require(!upright.ok() || upright->whole() == DecodedSize(*header, options),
              "an upright picture has the size that was foretold");
      break;
    }
    default: {
      options.min_width = 1 + static_cast<int>(random() % 16);
      options.min_height = 1 + static_cast<int>(random() % 16);
      const absl::StatusOr<Image> scaled = DecodeImage(bytes, *header, options);
      RequireAlike(whole, scaled);
      Require(!scaled.ok() || scaled->whole() == DecodedSize(*header, options),
              "a scaled picture has the size that was foretold");
    }
  }
}

}  // namespace
}  // namespace pixpool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pixpool::Try(pixpool::testing::AsText(data, size));
  return 0;
}
