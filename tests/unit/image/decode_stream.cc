// Decodes many files in one process, for comparisons with other decoders
// (tests/support/agreement.py). On standard input files, each behind its size (4 bytes,
// little-endian); for each a line on standard output, fields parted by tabs:
//   ok   width  height  SHA-256 of the RGB pixels upright  damages
//   no   reason  message
// Each file that decodes is decoded in part as well, and with damages refused: where that does not
// fit the first, the line begins with "wrong".
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>

#include "server/base/error.h"
#include "server/base/sha256.h"
#include "server/base/text.h"
#include "server/image/decode.h"
#include "tests/unit/image/parts.h"

namespace pixpool {
namespace {

const ImageLimits kLimits = {64 << 20, 50'000'000, 65'500};

absl::StatusOr<Image> Decode(std::string_view bytes, const DecodeOptions& options) {
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, kLimits);
  if (!header.ok()) return header.status();
  return DecodeImage(bytes, *header, options);
}

std::string DamagesOf(const Image& image) {
  std::string text;
  for (const Damage& damage : image.damages()) {
    text += Concat(text.empty() ? "" : ",", DamageKindName(damage.kind));
  }
  return text.empty() ? "-" : text;
}

std::string Refusal(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  return Concat("no\t", details.has_value() ? ReasonName(details->reason) : "none", "\t",
                FirstLine(ToStd(status.message())));
}

std::string Describe(const std::string& bytes) {
  DecodeOptions options;
  const absl::StatusOr<Image> whole = Decode(bytes, options);
  options.refuse_damaged = true;
  const absl::StatusOr<Image> strict = Decode(bytes, options);
  if (!whole.ok()) return strict.ok() ? "wrong\tread under refusal alone" : Refusal(whole.status());
  if (strict.ok() != whole->damages().empty()) return "wrong\trefusal does not follow the damages";
  options.refuse_damaged = false;
  std::mt19937 random(static_cast<uint32_t>(bytes.size()));
  options.part = testing::RandomPart(whole->whole(), random);
  const absl::StatusOr<Image> part = Decode(bytes, options);
  if (!part.ok()) return Concat("wrong\tits part is refused: ", ToStd(part.status().message()));
  if (!testing::HasPixels(*part, *whole, *options.part)) return "wrong\tother pixels in part";
  return Concat("ok\t", whole->width(), "\t", whole->height(), "\t",
                Sha256Hex({reinterpret_cast<const char*>(whole->data()), whole->byte_size()}), "\t",
                DamagesOf(*whole));
}

bool ReadAll(char* out, size_t size) { return std::fread(out, 1, size, stdin) == size; }

}  // namespace
}  // namespace pixpool

int main() {
  for (char head[4]; pixpool::ReadAll(head, sizeof(head));) {
    uint32_t size = 0;
    std::memcpy(&size, head, sizeof(size));
    std::string bytes(size, '\0');
    if (!pixpool::ReadAll(bytes.data(), size)) return 1;
    std::printf("%s\n", pixpool::Describe(bytes).c_str());
    std::fflush(stdout);
  }
  return 0;
}
