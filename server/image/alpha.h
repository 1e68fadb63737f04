// What becomes of alpha, shared by the formats that carry it.
#pragma once

#include <array>
#include <cstdint>

namespace pixpool {

// Writes `width` RGB pixels: straight-alpha RGBA over an opaque colour, rounded to the nearest
// level (Pillow's Image.paste with the alpha as mask does the same). `rgb` may be `rgba`.
void CompositeRow(const uint8_t* rgba, int width, const std::array<uint8_t, 3>& background,
                  uint8_t* rgb);

// Writes `width` RGB pixels: the colours that are stored, whatever their alpha. `rgb` may be
// `rgba`.
void DropAlphaRow(const uint8_t* rgba, int width, uint8_t* rgb);

// Writes `width` pixels of one colour.
void FillRow(int width, const std::array<uint8_t, 3>& color, uint8_t* rgb);

// Whether hidden colours matter where alpha is dropped. Hidden are those of pixels that are more
// transparent than not and that white, what most viewers have under a picture, would show much
// lighter: of these pixels some level is under 192. They matter where they are more than one in a
// hundred of the pixels that were looked at.
class HiddenColors {
 public:
  // Of the stored rows, those that are divisible by this are looked at: a share needs no more, and
  // to look costs next to nothing then.
  static constexpr int kRowStep = 8;

  static bool IsHidden(const uint8_t* color, int alpha);

  // Looks at pixels of a row, straight-alpha RGBA.
  void LookAt(const uint8_t* rgba, int width);
  // The same for `transparent` pixels of one colour among `all`.
  void LookAt(const std::array<uint8_t, 3>& color, int64_t transparent, int64_t all);

  bool matter() const { return hidden_ * 100 > seen_; }

 private:
  int64_t hidden_ = 0;
  int64_t seen_ = 0;
};

}  // namespace pixpool
