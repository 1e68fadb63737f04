#include "server/image/jpeg_layout.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "server/base/status_macros.h"
#include "server/image/codec.h"
#include "server/image/metadata.h"

namespace pixpool {
namespace {

constexpr int kMaxScans = 100;  // libjpeg's own scripts have 10; optimisers go to about 20
constexpr int kMaxComponents = 4;
constexpr int kCoefficients = 64;
constexpr uint8_t kUnseen = 0xff;

enum Marker : uint8_t {
  kTem = 0x01,
  kSof0 = 0xc0,
  kSof2 = 0xc2,
  kDht = 0xc4,
  kJpg = 0xc8,
  kDac = 0xcc,
  kSof15 = 0xcf,
  kRst0 = 0xd0,
  kRst7 = 0xd7,
  kSoi = 0xd8,
  kEoi = 0xd9,
  kSos = 0xda,
  kApp1 = 0xe1,
};

bool IsFrameMarker(uint8_t m) {
  return m >= kSof0 && m <= kSof15 && m != kDht && m != kJpg && m != kDac;
}

absl::Status Broken(std::string_view detail) { return Undecodable(ImageFormat::kJpeg, detail); }

// Walks one file. Used once, by one thread; the bytes must outlive it.
class Walk {
 public:
  explicit Walk(std::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<JpegLayout> ToFirstScan() {
    PIXPOOL_RETURN_IF_ERROR(Run(/*whole=*/false));
    layout_.orientation = metadata_.Orientation();
    return layout_;
  }

  absl::StatusOr<JpegLayout> ToEnd() {
    PIXPOOL_RETURN_IF_ERROR(Run(/*whole=*/true));
    layout_.end = at_;
    layout_.all_scans = true;
    for (int c = 0; c < layout_.components; ++c) {
      for (const uint8_t bits_missing : missing_[c]) {
        if (bits_missing != 0) layout_.all_scans = false;
      }
      // A scan left out altogether is no picture, end marker or not.
      if (missing_[c][0] == kUnseen) return Broken("a colour component has no data");
    }
    return layout_;
  }

 private:
  uint8_t Byte(size_t at) const { return static_cast<uint8_t>(bytes_[at]); }

  absl::Status Run(bool whole) {
    at_ = 2;  // past the start marker, which is part of the magic
    int scans = 0;
    while (true) {
      // A file that has a scan may end without its end marker, even in the middle of one.
      size_t next = at_;
      while (next < bytes_.size() && Byte(next) == 0xff) ++next;  // markers may be padded with 0xff
      if (next >= bytes_.size() && scans > 0) {
        at_ = bytes_.size();
        return absl::OkStatus();
      }
      if (next >= bytes_.size()) return Broken("it ends before the first scan");
      if (next == at_) return Broken("a marker is missing");
      const uint8_t marker = Byte(next);
      at_ = next + 1;
      if (marker == kEoi) {
        if (scans == 0) return Broken("it has no scan");
        layout_.has_end_marker = true;
        return absl::OkStatus();
      }
      if (marker == kSoi) return Broken("a second start marker");
      if (marker == kTem || (marker >= kRst0 && marker <= kRst7)) continue;  // no segment follows
      PIXPOOL_RETURN_IF_ERROR(TakeSegment(marker));
      if (marker != kSos) continue;
      if (!whole) return absl::OkStatus();
      if (++scans > kMaxScans) return Broken("it has more than 100 scans");
      SkipEntropyCodedData();
    }
  }

  absl::Status TakeSegment(uint8_t marker) {
    if (bytes_.size() - at_ < 2) return Broken("a segment is cut off");
    const size_t length = static_cast<size_t>(Byte(at_)) << 8 | Byte(at_ + 1);
    if (length < 2) return Broken("a segment has a wrong length");
    if (length > bytes_.size() - at_) return Broken("a segment is cut off");
    const std::string_view body = bytes_.substr(at_ + 2, length - 2);
    at_ += length;
    if (IsFrameMarker(marker)) return TakeFrame(marker, body);
    if (marker == kDac) return UnsupportedVariant(ImageFormat::kJpeg, "arithmetic-coded JPEG");
    if (marker == kSos) return TakeScan(body);
    if (marker == kApp1) metadata_.AddApp1(body);
    return absl::OkStatus();
  }

  absl::Status TakeFrame(uint8_t marker, std::string_view body) {
    if (layout_.components != 0) return Broken("a second frame header");
    if (marker > kSof2) {
      const bool lossless = marker == 0xc3 || marker == 0xc7;
      const bool hierarchical = marker == 0xc5 || marker == 0xc6;
      return UnsupportedVariant(ImageFormat::kJpeg, lossless       ? "lossless JPEG"
                                                    : hierarchical ? "hierarchical JPEG"
                                                                   : "arithmetic-coded JPEG");
    }
    if (body.size() < 6) return Broken("the frame header is too short");
    const auto at = [body](size_t i) { return static_cast<uint8_t>(body[i]); };
    if (at(0) != 8) return UnsupportedVariant(ImageFormat::kJpeg, "JPEG with other than 8 bits");
    progressive_ = marker == kSof2;
    layout_.height = at(1) << 8 | at(2);
    layout_.width = at(3) << 8 | at(4);
    if (layout_.width == 0 || layout_.height == 0) return Broken("its size is zero");
    const int components = at(5);
    if (components != 1 && components != 3 && components != kMaxComponents) {
      return UnsupportedVariant(ImageFormat::kJpeg, "JPEG with other than 1, 3 or 4 components");
    }
    if (body.size() != 6 + 3 * static_cast<size_t>(components)) {
      return Broken("the frame header has a wrong length");
    }
    layout_.components = components;
    for (int c = 0; c < components; ++c) {
      ids_[c] = at(6 + 3 * static_cast<size_t>(c));
      const uint8_t sampling = at(7 + 3 * static_cast<size_t>(c));
      layout_.max_h_sampling = std::max(layout_.max_h_sampling, sampling >> 4);
      layout_.max_v_sampling = std::max(layout_.max_v_sampling, sampling & 15);
      missing_[c].fill(kUnseen);
    }
    return absl::OkStatus();
  }

  absl::Status TakeScan(std::string_view body) {
    if (layout_.components == 0) return Broken("a scan before the frame header");
    const size_t count = body.empty() ? 0 : static_cast<uint8_t>(body[0]);
    if (count < 1 || count > kMaxComponents || body.size() != 4 + 2 * count) {
      return Broken("a scan header has a wrong length");
    }
    const auto* parameters = reinterpret_cast<const uint8_t*>(body.data()) + 1 + 2 * count;
    const int first = progressive_ ? parameters[0] : 0;
    const int last = progressive_ ? parameters[1] : kCoefficients - 1;
    const uint8_t low_bit = progressive_ ? parameters[2] & 15 : 0;
    if (first > last || last >= kCoefficients) return Broken("a scan has wrong parameters");
    for (size_t i = 0; i < count; ++i) {
      const auto id = static_cast<uint8_t>(body[1 + 2 * i]);
      int c = 0;
      while (c < layout_.components && ids_[c] != id) ++c;
      if (c == layout_.components) return Broken("a scan of an unknown component");
      std::fill(missing_[c].begin() + first, missing_[c].begin() + last + 1, low_bit);
    }
    return absl::OkStatus();
  }

  // Leaves at_ on the 0xff of the next marker that ends a scan, or at the end.
  void SkipEntropyCodedData() {
    while (at_ < bytes_.size()) {
      const void* found = std::memchr(bytes_.data() + at_, 0xff, bytes_.size() - at_);
      if (found == nullptr) break;
      at_ = static_cast<size_t>(static_cast<const char*>(found) - bytes_.data());
      if (at_ + 1 == bytes_.size()) break;
      const uint8_t next = Byte(at_ + 1);
      if (next == 0xff) {
        ++at_;
      } else if (next == 0 || (next >= kRst0 && next <= kRst7)) {
        at_ += 2;
      } else {
        return;
      }
    }
    at_ = bytes_.size();
  }

  const std::string_view bytes_;
  size_t at_ = 0;
  JpegLayout layout_;
  bool progressive_ = false;
  JpegMetadata metadata_;
  std::array<uint8_t, kMaxComponents> ids_{};
  // For each component and coefficient: how many low bits are still to come; kUnseen before its
  // first scan.
  std::array<std::array<uint8_t, kCoefficients>, kMaxComponents> missing_{};
};

}  // namespace

absl::StatusOr<JpegLayout> ReadJpegFrame(std::string_view bytes) {
  return Walk(bytes).ToFirstScan();
}

absl::StatusOr<JpegLayout> ReadJpegLayout(std::string_view bytes) { return Walk(bytes).ToEnd(); }

}  // namespace pixpool
