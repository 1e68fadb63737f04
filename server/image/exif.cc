#include "server/image/exif.h"

#include <cstddef>
#include <cstdint>

namespace pixpool {
namespace {

constexpr std::string_view kPrefix("Exif\0\0", 6);
constexpr size_t kEntrySize = 12;
constexpr uint32_t kOrientationTag = 0x0112;
constexpr uint32_t kShortType = 3;

// Integers of a TIFF block in the block's own byte order. Positions must lie inside the block.
class TiffBlock {
 public:
  explicit TiffBlock(std::string_view bytes)
      : bytes_(bytes), little_endian_(bytes.substr(0, 4) == std::string_view("II*\0", 4)) {}

  bool valid() const {
    return little_endian_ || bytes_.substr(0, 4) == std::string_view("MM\0*", 4);
  }
  uint32_t Read16(size_t at) const {
    return little_endian_ ? Byte(at) | Byte(at + 1) << 8 : Byte(at) << 8 | Byte(at + 1);
  }
  uint32_t Read32(size_t at) const {
    return little_endian_ ? Read16(at) | Read16(at + 2) << 16 : Read16(at) << 16 | Read16(at + 2);
  }

 private:
  uint32_t Byte(size_t at) const { return static_cast<uint8_t>(bytes_[at]); }

  std::string_view bytes_;
  bool little_endian_;
};

}  // namespace

int ReadExifOrientation(std::string_view exif) {
  if (exif.substr(0, kPrefix.size()) == kPrefix) exif.remove_prefix(kPrefix.size());
  const TiffBlock block(exif);
  if (!block.valid() || exif.size() < 8) return 1;
  const size_t directory = block.Read32(4);
  if (directory < 8 || directory > exif.size() || exif.size() - directory < 2) return 1;
  const size_t entries = block.Read16(directory);
  const size_t first = directory + 2;
  for (size_t i = 0; i < entries && exif.size() - first >= (i + 1) * kEntrySize; ++i) {
    const size_t entry = first + i * kEntrySize;
    if (block.Read16(entry) != kOrientationTag) continue;
    const uint32_t value = block.Read16(entry + 8);
    const bool well_formed = block.Read16(entry + 2) == kShortType && block.Read32(entry + 4) == 1;
    return well_formed && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

}  // namespace pixpool
