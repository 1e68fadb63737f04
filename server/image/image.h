#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "server/image/damage.h"

namespace pixpool {

struct Size {
  int width = 0;
  int height = 0;
  bool operator==(const Size&) const = default;
};

// A rectangle of whole pixels, or of cells of a feature map.
struct Region {
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
  int right() const { return left + width; }   // just outside
  int bottom() const { return top + height; }  // likewise
  bool operator==(const Region&) const = default;
};

// A rectangle whose edges lie anywhere, in pixels.
struct RegionF {
  double left = 0;
  double top = 0;
  double right = 0;
  double bottom = 0;
};

// A decoded picture: uint8 RGB, rows from the top, no padding between rows; stride is 3 * width.
// It may be a part of a larger picture whose rest was not decoded: width, height and rows are those
// of the part then, and `part` says where it lies in the `whole`. Owns its pixels. Movable, not
// copyable: a copy of a picture is never wanted on the request path.
class Image {
 public:
  Image() = default;
  // Pixels are not initialised. Both sides at least 1.
  Image(int width, int height) : Image({0, 0, width, height}, {width, height}) {}
  // A part of a picture, within it.
  Image(Region part, Size whole)
      : part_(part),
        whole_(whole),
        pixels_(
            new uint8_t[static_cast<size_t>(part.width) * static_cast<size_t>(part.height) * 3]) {}
  // A whole picture in memory that may be larger than its pixels, which are at its beginning.
  Image(Size size, std::unique_ptr<uint8_t[]> pixels)
      : part_{0, 0, size.width, size.height}, whole_(size), pixels_(std::move(pixels)) {}

  Image(Image&& other) noexcept { *this = static_cast<Image&&>(other); }
  Image& operator=(Image&& other) noexcept {
    part_ = other.part_;
    whole_ = other.whole_;
    pixels_ = static_cast<std::unique_ptr<uint8_t[]>&&>(other.pixels_);
    damages_ = std::move(other.damages_);
    has_hidden_colors_ = other.has_hidden_colors_;
    other.part_ = Region();
    other.whole_ = Size();
    return *this;
  }

  int width() const { return part_.width; }
  int height() const { return part_.height; }
  const Region& part() const { return part_; }
  const Size& whole() const { return whole_; }
  bool empty() const { return pixels_ == nullptr; }
  size_t stride() const { return static_cast<size_t>(part_.width) * 3; }
  size_t byte_size() const { return stride() * static_cast<size_t>(part_.height); }
  uint8_t* data() { return pixels_.get(); }
  const uint8_t* data() const { return pixels_.get(); }
  uint8_t* row(int y) { return pixels_.get() + stride() * static_cast<size_t>(y); }
  const uint8_t* row(int y) const { return pixels_.get() + stride() * static_cast<size_t>(y); }

  // What was wrong with the file, of a picture that comes from DecodeImage; what is made of it has
  // none.
  const DamageList& damages() const { return damages_; }
  void set_damages(DamageList damages) { damages_ = std::move(damages); }

  // Likewise: whether alpha was dropped although hidden colours matter (HiddenColors in alpha.h).
  bool has_hidden_colors() const { return has_hidden_colors_; }
  void set_has_hidden_colors(bool has) { has_hidden_colors_ = has; }

 private:
  Region part_;
  Size whole_;
  std::unique_ptr<uint8_t[]> pixels_;
  DamageList damages_;
  bool has_hidden_colors_ = false;
};

// A copy for the few who need one: whoever draws on a picture that others still want.
inline Image CopyImage(const Image& image) {
  if (image.empty()) return Image();
  Image copy(image.part(), image.whole());
  std::memcpy(copy.data(), image.data(), image.byte_size());
  return copy;
}

}  // namespace pixpool
