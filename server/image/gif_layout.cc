#include "server/image/gif_layout.h"

#include <algorithm>
#include <optional>

#include "server/base/status_macros.h"
#include "server/image/bytes.h"
#include "server/image/codec.h"

namespace pixpool {
namespace {

constexpr size_t kScreenEnd = 13;
constexpr uint32_t kHasPalette = 0x80;
constexpr uint32_t kInterlaced = 0x40;
constexpr uint32_t kHasTransparent = 0x01;

enum Label : uint32_t { kGraphicControl = 0xf9, kComment = 0xfe, kApplication = 0xff };

absl::Status Broken(std::string_view detail) { return Undecodable(ImageFormat::kGif, detail); }

// Walks one file. Used once, by one thread; the bytes must outlive it.
class Walk {
 public:
  explicit Walk(std::string_view bytes) : bytes_(bytes) {}

  absl::StatusOr<GifLayout> ToFirstFrame() {
    if (Left() < kScreenEnd) return Broken("the header is cut off");
    layout_.palette = GreyPalette();
    layout_.canvas = {static_cast<int>(ReadLittle16(bytes_, 6)),
                      static_cast<int>(ReadLittle16(bytes_, 8))};
    const uint32_t flags = ReadByte(bytes_, 10);
    at_ = kScreenEnd;
    if ((flags & kHasPalette) != 0) PIXPOOL_RETURN_IF_ERROR(ReadPalette(flags));
    while (Left() > 0) {
      const char introducer = bytes_[at_++];
      if (introducer == ';') break;
      if (introducer == ',') {
        PIXPOOL_RETURN_IF_ERROR(ReadFrame());
        return layout_;
      }
      // Anything else is passed over, as Pillow does.
      if (introducer == '!') PIXPOOL_RETURN_IF_ERROR(ReadExtension());
    }
    return Broken("it has no frame");
  }

 private:
  size_t Left() const { return bytes_.size() - at_; }

  // The next block of an extension; empty where its list ends, or the file.
  std::string_view TakeBlock() {
    if (Left() == 0) return {};
    const size_t size = ReadByte(bytes_, at_++);
    const std::string_view block = bytes_.substr(at_, size);
    at_ += block.size();
    return block;
  }

  absl::Status ReadPalette(uint32_t flags) {
    const size_t colors = size_t{2} << (flags & 7);
    if (Left() < 3 * colors) return Broken("its palette is cut off");
    layout_.palette = {};
    bool grey = true;
    for (size_t i = 0; i < colors; ++i) {
      for (size_t c = 0; c < 3; ++c) {
        layout_.palette[i][c] = static_cast<uint8_t>(ReadByte(bytes_, at_ + 3 * i + c));
        grey = grey && layout_.palette[i][c] == i;
      }
    }
    // A palette of shades in order stands for all of them, as if there were none.
    if (grey) layout_.palette = GreyPalette();
    at_ += 3 * colors;
    return absl::OkStatus();
  }

  absl::Status ReadExtension() {
    if (Left() == 0) return Broken("an extension is cut off");
    const uint32_t label = ReadByte(bytes_, at_++);
    const std::string_view block = TakeBlock();
    if (label == kGraphicControl && !block.empty()) {
      const bool transparent = (ReadByte(block, 0) & kHasTransparent) != 0;
      if (block.size() < (transparent ? 4 : 3)) return Broken("an extension is cut off");
      if (transparent) layout_.transparent = static_cast<int>(ReadByte(block, 3));
    }
    // Pillow ends a list of comments at its end, and reads on where other lists are empty.
    if (label == kComment && block.empty()) return absl::OkStatus();
    if (label == kApplication && block.substr(0, 11) == "NETSCAPE2.0") TakeBlock();
    while (!TakeBlock().empty()) {
    }
    return absl::OkStatus();
  }

  absl::Status ReadFrame() {
    if (Left() < 9) return Broken("the frame's header is cut off");
    const auto number = [this](size_t at) {
      return static_cast<int>(ReadLittle16(bytes_, at_ + at));
    };
    layout_.frame = {number(0), number(2), number(4), number(6)};
    const uint32_t flags = ReadByte(bytes_, at_ + 8);
    at_ += 9;
    if (layout_.frame.width == 0 || layout_.frame.height == 0) {
      return Broken("its first frame is empty");
    }
    layout_.canvas.width = std::max(layout_.canvas.width, layout_.frame.right());
    layout_.canvas.height = std::max(layout_.canvas.height, layout_.frame.bottom());
    layout_.interlaced = (flags & kInterlaced) != 0;
    if ((flags & kHasPalette) != 0) PIXPOOL_RETURN_IF_ERROR(ReadPalette(flags));
    if (Left() == 0) return Truncated(ImageFormat::kGif, "it is truncated");
    layout_.first_bits = static_cast<int>(ReadByte(bytes_, at_++));
    if (layout_.first_bits > 12) return Broken("its codes are too long");
    layout_.data = at_;
    return absl::OkStatus();
  }

  const std::string_view bytes_;
  size_t at_ = 0;
  GifLayout layout_;
};

}  // namespace

absl::StatusOr<GifLayout> ReadGifLayout(std::string_view bytes) {
  return Walk(bytes).ToFirstFrame();
}

}  // namespace pixpool
