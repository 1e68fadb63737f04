#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

namespace pixpool {

// A decoded picture: uint8 RGB, rows from the top, no padding between rows; stride is 3 * width.
// Owns its pixels. Movable, not copyable: a copy of a picture is never wanted on the request path.
class Image {
 public:
  Image() = default;
  // Pixels are not initialised. Both sides at least 1.
  Image(int width, int height)
      : width_(width),
        height_(height),
        pixels_(new uint8_t[static_cast<size_t>(width) * static_cast<size_t>(height) * 3]) {}

  Image(Image&& other) noexcept { *this = static_cast<Image&&>(other); }
  Image& operator=(Image&& other) noexcept {
    width_ = other.width_;
    height_ = other.height_;
    pixels_ = static_cast<std::unique_ptr<uint8_t[]>&&>(other.pixels_);
    other.width_ = other.height_ = 0;
    return *this;
  }

  int width() const { return width_; }
  int height() const { return height_; }
  bool empty() const { return pixels_ == nullptr; }
  size_t stride() const { return static_cast<size_t>(width_) * 3; }
  size_t byte_size() const { return stride() * static_cast<size_t>(height_); }
  uint8_t* data() { return pixels_.get(); }
  const uint8_t* data() const { return pixels_.get(); }
  uint8_t* row(int y) { return pixels_.get() + stride() * static_cast<size_t>(y); }
  const uint8_t* row(int y) const { return pixels_.get() + stride() * static_cast<size_t>(y); }

 private:
  int width_ = 0;
  int height_ = 0;
  std::unique_ptr<uint8_t[]> pixels_;
};

// A copy for the few who need one: whoever draws on a picture that others still want.
inline Image CopyImage(const Image& image) {
  if (image.empty()) return Image();
  Image copy(image.width(), image.height());
  std::memcpy(copy.data(), image.data(), image.byte_size());
  return copy;
}

}  // namespace pixpool
