#include "server/image/jpeg_layout.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "server/base/status_macros.h"
#include "server/image/codec.h"
#include "server/image/metadata.h"

namespace pixpool {
namespace {

constexpr int kMaxComponents = 4;
constexpr std::string_view kIccPrefix("ICC_PROFILE\0", 12);
constexpr std::string_view kPhotoshopPrefix("Photoshop 3.0\0", 14);
constexpr size_t kIccHeader = 14;
// Tables and small things.
constexpr int64_t kLibjpegBytes = 100'000;

enum Marker : uint8_t {
  kSof0 = 0xc0,
  kSof2 = 0xc2,
  kDht = 0xc4,
  kJpg = 0xc8,
  kDac = 0xcc,
  kSof15 = 0xcf,
  kRst0 = 0xd0,
  kEoi = 0xd9,
  kSos = 0xda,
  kDqt = 0xdb,
  kDhp = 0xde,
  kApp0 = 0xe0,
  kApp1 = 0xe1,
  kApp2 = 0xe2,
  kApp13 = 0xed,
  kApp14 = 0xee,
  kJpg0 = 0xf0,
  kJpg13 = 0xfd,
};

bool IsFrameMarker(uint8_t m) {
  return (m >= kSof0 && m <= kSof15 && m != kDht && m != kJpg && m != kDac) || m == kDhp;
}

// Markers that stand alone, or are taken so.
bool HasNoSegment(uint8_t m) {
  return (m >= kRst0 && m <= kEoi) || m == kJpg || (m >= kJpg0 && m <= kJpg13);
}

absl::Status Broken(std::string_view detail) { return Undecodable(ImageFormat::kJpeg, detail); }

absl::Status CutOff() {
  return Truncated(ImageFormat::kJpeg, "it ends before the first scan of its picture");
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// Whether Pillow gets through Photoshop's resources, which it does unless they end between a
// resource's number and its name.
bool ResourcesAreWhole(std::string_view body) {
  size_t at = kPhotoshopPrefix.size();
  const auto byte = [body](size_t i) { return static_cast<uint8_t>(body[i]); };
  while (at <= body.size() && body.substr(at, 4) == "8BIM") {
    at += 4;
    if (body.size() < at + 2) return true;
    at += 2;
    if (body.size() == at) return false;
    at += 1 + byte(at);
    at += at & 1;
    if (body.size() < at + 4) return true;
    const size_t size = static_cast<size_t>(byte(at)) << 24 |
                        static_cast<size_t>(byte(at + 1)) << 16 |
                        static_cast<size_t>(byte(at + 2)) << 8 | byte(at + 3);
    at += 4 + size;
    at += at & 1;
  }
  return true;
}

// Walks one file. Used once, by one thread; the bytes must outlive it.
class Walk {
 public:
  explicit Walk(std::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<JpegLayout> ToFirstScan() {
    at_ = 2;  // past the start marker, on the 0xff that is part of the magic
    while (true) {
      while (at_ < bytes_.size() && Byte(at_) != 0xff) ++at_;
      if (at_ + 1 >= bytes_.size()) return CutOff();
      const uint8_t marker = Byte(++at_);
      if (marker == 0xff) continue;  // padding
      ++at_;
      if (marker == 0) continue;  // junk
      if (marker < kSof0) return Broken("it has a marker that no JPEG has");
      if (HasNoSegment(marker)) continue;
      PIXPOOL_RETURN_IF_ERROR(TakeSegment(marker));
      if (marker != kSos) continue;
      if (layout_.components == 0) return Broken("a scan comes before the frame header");
      layout_.orientation = metadata_.Orientation();
      layout_.decode_bytes += static_cast<int64_t>(metadata_.JoinedBytes());
      return layout_;
    }
  }

 private:
  uint8_t Byte(size_t at) const { return static_cast<uint8_t>(bytes_[at]); }

  absl::Status TakeSegment(uint8_t marker) {
    if (bytes_.size() - at_ < 2) return CutOff();
    const size_t length = static_cast<size_t>(Byte(at_)) << 8 | Byte(at_ + 1);
    at_ += 2;
    const size_t size = length < 2 ? 0 : length - 2;
    if (size > bytes_.size() - at_) return CutOff();
    const std::string_view body = bytes_.substr(at_, size);
    at_ += size;
    if (IsFrameMarker(marker)) return TakeFrame(marker, body);
    if (marker == kSos) TakeScan(body);
    if (marker == kDqt) return CheckTables(body);
    return CheckApplication(marker, body);
  }

  absl::Status CheckTables(std::string_view body) {
    while (!body.empty()) {
      const size_t size = (static_cast<uint8_t>(body[0]) >> 4) == 0 ? 65 : 129;
      if (body.size() < size) return Broken("a quantization table is too short");
      body.remove_prefix(size);
    }
    return absl::OkStatus();
  }

  // What Pillow looks into, and gives up on where it is too short.
  absl::Status CheckApplication(uint8_t marker, std::string_view body) {
    constexpr size_t kVersion = 7;
    bool whole = true;
    if (marker == kApp0 && StartsWith(body, "JFIF")) {
      whole = body.size() >= kVersion;
    } else if (marker == kApp14 && StartsWith(body, "Adobe")) {
      whole = body.size() >= kVersion;
    } else if (marker == kApp13 && StartsWith(body, kPhotoshopPrefix)) {
      whole = ResourcesAreWhole(body);
    } else if (marker == kApp2 && StartsWith(body, kIccPrefix)) {
      first_profile_ = std::min(first_profile_.value_or(body), body);
    } else if (marker == kApp1) {
      metadata_.AddApp1(body);
    }
    return whole ? absl::OkStatus() : Broken("an application segment is too short");
  }

  absl::Status TakeFrame(uint8_t marker, std::string_view body) {
    if (marker == 0xc3) return UnsupportedVariant(ImageFormat::kJpeg, "lossless JPEG");
    if (marker >= 0xc5 && marker <= 0xc7) {
      return UnsupportedVariant(ImageFormat::kJpeg, "hierarchical JPEG");
    }
    if (marker >= 0xc9 && marker <= kSof15) {
      return UnsupportedVariant(ImageFormat::kJpeg, "arithmetic-coded JPEG");
    }
    if (body.size() < 6) return Broken("the frame header is too short");
    const auto at = [body](size_t i) { return static_cast<uint8_t>(body[i]); };
    layout_.height = at(1) << 8 | at(2);
    layout_.width = at(3) << 8 | at(4);
    if (at(0) != 8) return UnsupportedVariant(ImageFormat::kJpeg, "JPEG with other than 8 bits");
    layout_.components = at(5);
    if (layout_.components != 1 && layout_.components != 3 &&
        layout_.components != kMaxComponents) {
      return UnsupportedVariant(ImageFormat::kJpeg, "JPEG with other than 1, 3 or 4 components");
    }
    if (layout_.width == 0 || layout_.height == 0) return Broken("its size is zero");
    if (body.size() % 3 != 0) return Broken("the frame header has a wrong length");
    if (first_profile_ && first_profile_->size() < kIccHeader) {
      return Broken("its colour profile is too short");
    }
    first_profile_.reset();
    TakeMemory(marker, body);
    return absl::OkStatus();
  }

  // How the components of a frame are sampled, and what that makes of the memory for it.
  void TakeMemory(uint8_t marker, std::string_view body) {
    constexpr int kMostSampling = 4;
    constexpr int kBlockSide = 8;
    constexpr int64_t kBlockBytes = 2 * kBlockSide * kBlockSide;
    int across[kMaxComponents] = {};
    int down[kMaxComponents] = {};
    int most_across = 1;
    int most_down = 1;
    for (size_t c = 0; c < static_cast<size_t>(layout_.components); ++c) {
      const size_t at = 6 + 3 * c + 1;
      const uint8_t sampling = at < body.size() ? static_cast<uint8_t>(body[at]) : 0;
      across[c] = std::clamp(sampling >> 4, 1, kMostSampling);
      down[c] = std::clamp(sampling & 15, 1, kMostSampling);
      most_across = std::max(most_across, across[c]);
      most_down = std::max(most_down, down[c]);
    }
    const auto units = [](int side, int unit) { return int64_t{(side + unit - 1) / unit}; };
    const int64_t mcus = units(layout_.width, kBlockSide * most_across) *
                         units(layout_.height, kBlockSide * most_down);
    coefficient_bytes_ = 0;
    for (int c = 0; c < layout_.components; ++c) {
      coefficient_bytes_ += mcus * across[c] * down[c] * kBlockBytes;
    }
    // By component: two rows of blocks and what they are smoothed with, at the full width; then
    // rows of pixels.
    const int64_t row_bytes =
        int64_t{layout_.width} * layout_.components * (kBlockSide * 3) * most_down;
    layout_.decode_bytes = row_bytes + kLibjpegBytes;
    several_scans_ = marker == kSof2;
  }

  void TakeScan(std::string_view body) {
    const int components = body.empty() ? 0 : static_cast<uint8_t>(body[0]);
    if (several_scans_ || components < layout_.components) {
      layout_.decode_bytes += coefficient_bytes_;
    }
  }

  const std::string_view bytes_;
  size_t at_ = 0;
  JpegLayout layout_;
  bool several_scans_ = false;
  int64_t coefficient_bytes_ = 0;
  JpegMetadata metadata_;
  // Of the colour profile's segments before the next frame header, the first in order of bytes.
  std::optional<std::string_view> first_profile_;
};

}  // namespace

absl::StatusOr<JpegLayout> ReadJpegFrame(std::string_view bytes) {
  return Walk(bytes).ToFirstScan();
}

}  // namespace pixpool
