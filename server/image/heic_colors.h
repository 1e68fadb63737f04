// YCbCr to RGB as libheif does it, which pillow-heif has.
#pragma once

#include <cstdint>
#include <vector>

#include "server/image/hevc_decoder.h"
#include "server/image/image.h"

namespace pixpool {

// Turns the rows of a picture into pixels. libheif finds its way from format to format by what each
// step costs, and each way rounds otherwise:
// - grey is taken as it is, its range too;
// - 4:2:0 of the full range goes by integers, of which more than 8 bits lose the lower ones first;
// - all else goes by floats, and loses the lower bits afterwards;
// - colours of 4:2:0 and 4:2:2 are repeated, but where a turn or a cut fits them badly: then they
//   are interpolated, and the picture goes on as 4:4:4.
class HeicPainter {
 public:
  // Whether libheif knows how to.
  static bool Knows(const HevcPlanes& picture, bool is_smooth);

  // `smooth`: the part of the picture within which colours are interpolated; null: repeated.
  // `picture` has what is known of all of it; its planes do not count.
  HeicPainter(const HevcPlanes& picture, const Region* smooth);

  // Writes the pixels of a row of a part: y, left and width in the picture. `band` holds the rows
  // of planes from luma row `top` on, which is even; where colours are interpolated, all.
  void Paint(const HevcPlanes& band, int top, int y, int left, int width, uint8_t* rgb);

 private:
  template <typename Sample>
  void PaintRow(const HevcPlanes& band, int top, int y, int left, int width, uint8_t* rgb);
  template <typename Sample>
  void PaintByFloats(const Sample* luma, const Sample* const chroma[2], int left, int width,
                     int shift, uint8_t* rgb) const;
  template <typename Sample>
  void PaintByIntegers(const Sample* luma, const Sample* const chroma[2], int left, int width,
                       uint8_t* rgb) const;
  template <typename Sample>
  void Interpolate(const HevcPlanes& picture, int plane, int y, Sample* out) const;

  struct Factors {
    float r_cr = 0;
    float g_cb = 0;
    float g_cr = 0;
    float b_cb = 0;
  };
  static Factors FactorsOf(const HevcColors& colors);

  HevcColors colors_;
  int bits_;
  int chroma_;
  bool is_smooth_ = false;
  Region smooth_;
  Factors factors_;
  std::vector<uint16_t> room_;  // for interpolated rows
};

}  // namespace pixpool
