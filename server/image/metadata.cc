#include "server/image/metadata.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "server/image/bytes.h"
#include "server/image/exif.h"
#include "server/image/xmp.h"

namespace pixpool {
namespace {

constexpr std::string_view kExifPrefix("Exif\0\0", 6);
constexpr std::string_view kXmpPrefix("http://ns.adobe.com/xap/1.0/\0", 29);

}  // namespace

int ReadOrientation(std::string_view exif, std::string_view xmp) {
  if (const std::optional<int> stated = ReadExifOrientation(exif)) return *stated;
  return ReadXmpOrientation(xmp).value_or(1);
}

void JpegMetadata::AddApp1(std::string_view body) {
  if (body.substr(0, kXmpPrefix.size()) == kXmpPrefix) {
    xmp_ = body.substr(kXmpPrefix.size());
  } else if (body.substr(0, kExifPrefix.size()) == kExifPrefix) {
    exif_.push_back(body.substr(exif_.empty() ? 0 : kExifPrefix.size()));
  }
}

int JpegMetadata::Orientation() const {
  if (exif_.size() <= 1) return ReadOrientation(exif_.empty() ? "" : exif_[0], xmp_);
  std::string joined;
  joined.reserve(JoinedBytes());
  for (const std::string_view part : exif_) joined.append(part);
  return ReadOrientation(joined, xmp_);
}

size_t JpegMetadata::JoinedBytes() const {
  size_t bytes = 0;
  for (const std::string_view part : exif_) bytes += part.size();
  return exif_.size() <= 1 ? 0 : bytes;
}

int ReadWebpOrientation(std::string_view file) {
  constexpr size_t kFileHeader = 12;
  constexpr size_t kChunkHeader = 8;
  constexpr uint8_t kHasExif = 0x08;
  constexpr uint8_t kHasXmp = 0x04;
  if (file.size() <= kFileHeader + kChunkHeader || file.substr(kFileHeader, 4) != "VP8X") return 1;
  const auto flags = static_cast<uint8_t>(file[kFileHeader + kChunkHeader]);
  std::optional<std::string_view> exif;
  std::optional<std::string_view> xmp;
  size_t at = kFileHeader;
  while (at <= file.size() && file.size() - at >= kChunkHeader) {
    const size_t length = ReadLittle32(file, at + 4);
    if (length > file.size() - at - kChunkHeader) break;
    const std::string_view type = file.substr(at, 4);
    const std::string_view body = file.substr(at + kChunkHeader, length);
    if (type == "EXIF" && (flags & kHasExif) != 0 && !exif) exif = body;
    if (type == "XMP " && (flags & kHasXmp) != 0 && !xmp) xmp = body;
    at += kChunkHeader + length + (length & 1);
  }
  return ReadOrientation(exif.value_or(""), xmp.value_or(""));
}

}  // namespace pixpool
