#include "server/image/exif.h"

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <iterator>

namespace pixpool {
namespace {

constexpr std::string_view kPrefix("Exif\0\0", 6);
constexpr size_t kHeaderSize = 8;
constexpr size_t kEntrySize = 12;
constexpr size_t kInlineSize = 4;  // larger values lie elsewhere
constexpr uint64_t kOrientationTag = 0x0112;

// Of TIFF 6.0 and its supplements.
enum Type : uint64_t {
  kByte = 1,
  kAscii = 2,
  kShort = 3,
  kLong = 4,
  kRational = 5,
  kSignedByte = 6,
  kUndefined = 7,
  kSignedShort = 8,
  kSignedLong = 9,
  kSignedRational = 10,
  kFloat = 11,
  kDouble = 12,
  kIfd = 13,
  kLong8 = 16,
};

// Bytes of one value; 0 for a type that Pillow passes over.
size_t UnitSize(uint64_t type) {
  switch (type) {
    case kByte:
    case kAscii:
    case kSignedByte:
    case kUndefined:
      return 1;
    case kShort:
    case kSignedShort:
      return 2;
    case kLong:
    case kSignedLong:
    case kFloat:
    case kIfd:
      return 4;
    case kRational:
    case kSignedRational:
    case kDouble:
    case kLong8:
      return 8;
    default:
      return 0;
  }
}

// Numbers of a TIFF block in the block's own byte order. Positions must lie inside the block.
class TiffBlock {
 public:
  TiffBlock(std::string_view bytes, bool little_endian)
      : bytes_(bytes), little_endian_(little_endian) {}

  uint64_t Read(size_t at, size_t size) const {
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value =
          value << 8 | static_cast<uint8_t>(bytes_[little_endian_ ? at + size - 1 - i : at + i]);
    }
    return value;
  }

  int64_t ReadSigned(size_t at, size_t size) const {
    const auto unused = static_cast<int>(64 - 8 * size);
    return static_cast<int64_t>(Read(at, size) << unused) >> unused;
  }

  // The first of an entry's values, 0 where it is no number that an orientation can be.
  double Value(uint64_t type, size_t at) const {
    switch (type) {
      case kShort:
      case kLong:
      case kIfd:
      case kLong8:
        return static_cast<double>(Read(at, UnitSize(type)));
      case kSignedByte:
      case kSignedShort:
      case kSignedLong:
        return static_cast<double>(ReadSigned(at, UnitSize(type)));
      case kRational:
        return Quotient(static_cast<int64_t>(Read(at, 4)), static_cast<int64_t>(Read(at + 4, 4)));
      case kSignedRational:
        return Quotient(ReadSigned(at, 4), ReadSigned(at + 4, 4));
      case kFloat:
        return std::bit_cast<float>(static_cast<uint32_t>(Read(at, 4)));
      case kDouble:
        return std::bit_cast<double>(Read(at, 8));
      default:
        return 0;
    }
  }

 private:
  static double Quotient(int64_t numerator, int64_t denominator) {
    const bool whole = denominator != 0 && numerator % denominator == 0;
    return whole ? static_cast<double>(numerator / denominator) : 0;
  }

  std::string_view bytes_;
  bool little_endian_;
};

// Whether the block begins as one; some writers swap the bytes of the 42, which Pillow lets pass.
bool IsTiff(std::string_view block) {
  constexpr std::string_view kMagics[] = {
      {"II*\0", 4}, {"MM\0*", 4}, {"II\0*", 4}, {"MM*\0", 4}, {"MM\0+", 4}};
  return block.size() >= kHeaderSize &&
         std::find(std::begin(kMagics), std::end(kMagics), block.substr(0, 4)) != std::end(kMagics);
}

int Whole(double value) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    if (value == orientation) return orientation;
  }
  return 1;
}

}  // namespace

std::optional<int> ReadExifOrientation(std::string_view exif) {
  for (int i = 0; i < 2 && exif.substr(0, kPrefix.size()) == kPrefix; ++i) {
    exif.remove_prefix(kPrefix.size());
  }
  if (exif.empty()) return std::nullopt;
  if (!IsTiff(exif)) return 1;
  const TiffBlock block(exif, exif[0] == 'I');
  const uint64_t size = exif.size();
  const uint64_t directory = block.Read(4, 4);
  if (directory > size || size - directory < 2) return std::nullopt;
  const size_t entries = block.Read(directory, 2);
  size_t entry = directory + 2;
  uint64_t elsewhere = 0;     // bytes of values that lie outside of their entries
  std::bitset<1 << 16> seen;  // of several entries with one tag the first counts
  for (size_t i = 0; i < entries && size - entry >= kEntrySize; ++i, entry += kEntrySize) {
    const uint64_t tag = block.Read(entry, 2);
    const uint64_t type = block.Read(entry + 2, 2);
    const uint64_t value_size = block.Read(entry + 4, 4) * UnitSize(type);
    if (value_size == 0 || seen[tag]) continue;
    size_t value = entry + 8;
    if (value_size > kInlineSize) {
      elsewhere += value_size;
      if (elsewhere > size) continue;
      value = block.Read(value, 4);
      // A value that is cut off ends the directory for Pillow.
      if (value > size || size - value < value_size) return std::nullopt;
    }
    if (tag == kOrientationTag) return Whole(block.Value(type, value));
    seen[tag] = true;
  }
  return std::nullopt;
}

}  // namespace pixpool
