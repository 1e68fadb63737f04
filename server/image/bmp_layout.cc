#include "server/image/bmp_layout.h"

#include <algorithm>
#include <optional>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/bytes.h"
#include "server/image/codec.h"

namespace pixpool {
namespace {

constexpr size_t kFileHeader = 14;
constexpr uint32_t kCoreHeader = 12;  // of OS/2: sides of 16 bits, palette entries of three bytes
constexpr uint32_t kInfoHeader = 40;
constexpr uint32_t kHeaderSizes[] = {kCoreHeader, kInfoHeader, 52, 56, 64, 108, 124};

enum Compression : uint32_t { kNone = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3 };

absl::Status Broken(std::string_view detail) { return Undecodable(ImageFormat::kBmp, detail); }

struct Masks {
  uint32_t red = 0;
  uint32_t green = 0;
  uint32_t blue = 0;
  uint32_t alpha = 0;
  bool operator==(const Masks&) const = default;
};

// The orders of bytes that Pillow knows.
struct Order {
  Masks masks;
  int red;
  int green;
  int blue;
  int alpha;
};
constexpr Order kOrders32[] = {
    {{0xff0000, 0xff00, 0xff, 0}, 2, 1, 0, -1},
    {{0xff000000, 0xff0000, 0xff00, 0}, 3, 2, 1, -1},
    {{0xff000000, 0xff00, 0xff, 0}, 3, 1, 0, -1},
    {{0xff000000, 0xff0000, 0xff00, 0xff}, 3, 2, 1, 0},
    {{0xff, 0xff00, 0xff0000, 0xff000000}, 0, 1, 2, 3},
    {{0xff0000, 0xff00, 0xff, 0xff000000}, 2, 1, 0, 3},
    {{0xff000000, 0xff00, 0xff, 0xff0000}, 3, 1, 0, 2},
    {{0, 0, 0, 0}, 2, 1, 0, 3},
};

// Reads one header. Used once, by one thread; the bytes must outlive it.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<BmpLayout> Read() {
    PIXPOOL_RETURN_IF_ERROR(ReadSizes());
    PIXPOOL_RETURN_IF_ERROR(ReadCompression());
    if (layout_.bits <= 8) PIXPOOL_RETURN_IF_ERROR(ReadPalette());
    if (layout_.offset == 0) layout_.offset = at_;
    return layout_;
  }

 private:
  absl::Status ReadSizes() {
    if (bytes_.size() < kFileHeader + 4) return Broken("the header is cut off");
    layout_.offset = ReadLittle32(bytes_, 10);
    header_size_ = ReadLittle32(bytes_, kFileHeader);
    if (std::find(std::begin(kHeaderSizes), std::end(kHeaderSizes), header_size_) ==
        std::end(kHeaderSizes)) {
      return Broken("its header has an unknown size");
    }
    if (bytes_.size() - kFileHeader < header_size_) return Broken("the header is cut off");
    header_ = bytes_.substr(kFileHeader, header_size_);
    at_ = kFileHeader + header_size_;
    if (header_size_ == kCoreHeader) {
      layout_.width = ReadLittle16(header_, 4);
      layout_.height = ReadLittle16(header_, 6);
      bits_ = ReadLittle16(header_, 10);
      entry_size_ = 3;
    } else {
      layout_.width = ReadLittle32(header_, 4);
      layout_.height = ReadLittle32(header_, 8);
      // A negative height stands for rows from the top. What is called negative is Pillow's rule.
      layout_.top_down = ReadByte(header_, 11) == 0xff;
      if (layout_.top_down) layout_.height = 0u - layout_.height;
      bits_ = ReadLittle16(header_, 14);
      compression_ = ReadLittle32(header_, 16);
      colors_ = ReadLittle32(header_, 32);
    }
    if (layout_.width == 0 || layout_.height == 0) return Broken("its size is zero");
    if (layout_.width > INT32_MAX || layout_.height > INT32_MAX) {
      return Broken("its size is out of range");
    }
    return absl::OkStatus();
  }

  absl::Status ReadCompression() {
    constexpr uint32_t kDepths[] = {1, 4, 8, 16, 24, 32};
    if (std::find(std::begin(kDepths), std::end(kDepths), bits_) == std::end(kDepths)) {
      return UnsupportedVariant(ImageFormat::kBmp, Concat("BMP with ", bits_, " bits a pixel"));
    }
    layout_.bits = static_cast<int>(bits_);
    layout_.stride = (size_t{layout_.width} * bits_ + 31) / 32 * 4;
    if (compression_ == kBitFields) return ReadMasks();
    if (compression_ == kRle8 || compression_ == kRle4) {
      if (bits_ > 8) return Broken("samples cannot be run-length encoded");
      layout_.rle = true;
      layout_.rle4 = compression_ == kRle4;
    } else if (compression_ != kNone) {
      return UnsupportedVariant(ImageFormat::kBmp, Concat("BMP with compression ", compression_));
    }
    return absl::OkStatus();
  }

  absl::Status ReadMasks() {
    Masks masks;
    if (header_size_ >= 52) {
      masks = MasksAt(header_, 40);
      if (header_size_ >= 56) masks.alpha = ReadLittle32(header_, 52);
    } else {
      if (bytes_.size() - at_ < 12) return Broken("the header is cut off");
      masks = MasksAt(bytes_, at_);
      at_ += 12;
    }
    if (bits_ == 32) {
      for (const Order& order : kOrders32) {
        if (order.masks != masks) continue;
        layout_.red = order.red;
        layout_.green = order.green;
        layout_.blue = order.blue;
        layout_.alpha = order.alpha;
        return absl::OkStatus();
      }
    }
    masks.alpha = 0;
    layout_.green_has_6_bits = masks == Masks{0xf800, 0x7e0, 0x1f};
    const bool known =
        (bits_ == 24 && masks == Masks{0xff0000, 0xff00, 0xff}) ||
        (bits_ == 16 && (layout_.green_has_6_bits || masks == Masks{0x7c00, 0x3e0, 0x1f}));
    if (known) return absl::OkStatus();
    return UnsupportedVariant(ImageFormat::kBmp, "BMP with such bit masks");
  }

  static Masks MasksAt(std::string_view bytes, size_t at) {
    return {ReadLittle32(bytes, at), ReadLittle32(bytes, at + 4), ReadLittle32(bytes, at + 8)};
  }

  absl::Status ReadPalette() {
    const uint64_t colors = colors_ == 0 ? uint64_t{1} << bits_ : colors_;
    // Where the pixels follow the header at once, they follow the palette in truth.
    if (layout_.offset == at_) layout_.offset += entry_size_ * colors;
    if (colors > 65536) return Broken("its palette is too large");
    const std::string_view table = bytes_.substr(at_, entry_size_ * colors);
    at_ += table.size();
    if (IsGrey(table, colors)) {
      // Pillow then reads one bit or eight for a pixel, whatever the header says.
      layout_.bits = colors <= 2 ? 1 : 8;
      layout_.palette = GreyPalette();
      if (colors <= 2) {
        for (size_t i = 1; i < layout_.palette.size(); ++i) layout_.palette[i].fill(255);
      }
      return absl::OkStatus();
    }
    if (table.size() / entry_size_ > layout_.palette.size()) {
      return Broken("its palette is too large");
    }
    for (size_t i = 0; (i + 1) * entry_size_ <= table.size(); ++i) {
      const std::string_view entry = table.substr(i * entry_size_);
      for (size_t c = 0; c < 3; ++c) {
        layout_.palette[i][c] = static_cast<uint8_t>(ReadByte(entry, 2 - c));
      }
    }
    return absl::OkStatus();
  }

  // Whether the palette says no more than shades from black to white would.
  bool IsGrey(std::string_view table, uint64_t colors) const {
    for (size_t i = 0; i < colors; ++i) {
      const auto shade = static_cast<char>(colors == 2 && i == 1 ? 255 : i);
      if (table.size() < i * entry_size_ + 3) return false;
      for (size_t c = 0; c < 3; ++c) {
        if (table[i * entry_size_ + c] != shade) return false;
      }
    }
    return true;
  }

  const std::string_view bytes_;
  std::string_view header_;
  size_t at_ = 0;  // behind what was read
  BmpLayout layout_;
  uint32_t header_size_ = 0;
  uint32_t bits_ = 0;
  uint32_t compression_ = kNone;
  uint32_t colors_ = 0;
  size_t entry_size_ = 4;
};

}  // namespace

absl::StatusOr<BmpLayout> ReadBmpLayout(std::string_view bytes) { return Reader(bytes).Read(); }

}  // namespace pixpool
