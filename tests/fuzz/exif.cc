// Orientation from EXIF data, whole and in two segments of a JPEG.
#include "server/image/exif.h"

#include <optional>
#include <string>

#include "server/image/metadata.h"
#include "tests/fuzz/require.h"

namespace pixpool {
namespace {

using testing::Require;

void Try(std::string_view exif) {
  const std::optional<int> orientation = ReadExifOrientation(exif);
  Require(!orientation || (*orientation >= 1 && *orientation <= 8), "an orientation is 1 to 8");
  Require(ReadOrientation(exif, "") == orientation.value_or(1), "EXIF data alone decides");
  // Behind the prefix, as every segment has it, and cut in two.
  const std::string prefix("Exif\0\0", 6);
  const std::string first = prefix + std::string(exif.substr(0, exif.size() / 2));
  const std::string second = prefix + std::string(exif.substr(exif.size() / 2));
  JpegMetadata split;
  split.AddApp1(first);
  split.AddApp1(second);
  Require(split.Orientation() == ReadOrientation(prefix + std::string(exif), ""),
          "EXIF data in two segments says what it says in one");
}

}  // namespace
}  // namespace pixpool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pixpool::Try(pixpool::testing::AsText(data, size));
  return 0;
}
