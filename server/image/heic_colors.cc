#include "server/image/heic_colors.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>

namespace pixpool {
namespace {

// Code points of matrices (ITU-T H.273, table 4).
constexpr uint64_t kRgb = 0;
constexpr uint64_t kUnsaid = 2;
constexpr uint64_t kBt601 = 6;
constexpr uint64_t kYCgCo = 8;
constexpr uint64_t kSt2085 = 11;
constexpr uint64_t kDerived = 12;
constexpr uint64_t kDerivedConstant = 13;
constexpr uint64_t kIctcp = 14;
constexpr uint64_t kYCgCoRe = 16;

constexpr int kMostBits = 14;  // that libheif converts

// From the limited range, at 8 bits 16 to 235 and 16 to 240.
constexpr float kLumaStretch = 1.1689f;
constexpr float kChromaStretch = 1.1429f;

struct Primaries {
  float red[2], green[2], blue[2], white[2];
};

// The chromaticities of H.273's table 2; all 0: none are known.
Primaries PrimariesOf(uint64_t code) {
  constexpr float kD65[2] = {0.3127f, 0.3290f};
  constexpr float kC[2] = {0.310f, 0.316f};
  const auto of = [](float rx, float ry, float gx, float gy, float bx, float by,
                     const float(&white)[2]) {
    return Primaries{{rx, ry}, {gx, gy}, {bx, by}, {white[0], white[1]}};
  };
  switch (code) {
    case 1:
      return of(0.640f, 0.330f, 0.300f, 0.600f, 0.150f, 0.060f, kD65);
    case 4:
      return of(0.67f, 0.33f, 0.21f, 0.71f, 0.14f, 0.08f, kC);
    case 5:
      return of(0.64f, 0.33f, 0.29f, 0.60f, 0.15f, 0.06f, kD65);
    case 6:
    case 7:
      return of(0.630f, 0.340f, 0.310f, 0.595f, 0.155f, 0.070f, kD65);
    case 8:
      return of(0.681f, 0.319f, 0.243f, 0.692f, 0.145f, 0.049f, kC);
    case 9:
      return of(0.708f, 0.292f, 0.170f, 0.797f, 0.131f, 0.046f, kD65);
    case 10:
      return of(1.0f, 0.0f, 0.0f, 1.0f, 0.0f, 0.0f, {0.333333f, 0.33333f});
    case 11:
      return of(0.680f, 0.320f, 0.265f, 0.690f, 0.150f, 0.060f, {0.314f, 0.351f});
    case 12:
      return of(0.680f, 0.320f, 0.265f, 0.690f, 0.150f, 0.060f, kD65);
    case 22:
      return of(0.630f, 0.340f, 0.295f, 0.605f, 0.155f, 0.077f, kD65);
    default:
      return {};
  }
}

// The shares of red and blue in luma.
struct Shares {
  float red = 0;
  float blue = 0;
};

// From the primaries, by H.273's equations 32 to 37.
Shares DerivedShares(uint64_t code) {
  const Primaries p = PrimariesOf(code);
  const auto z = [](const float(&xy)[2]) { return 1 - (xy[0] + xy[1]); };
  const float(&r)[2] = p.red;
  const float(&g)[2] = p.green;
  const float(&b)[2] = p.blue;
  const float(&w)[2] = p.white;
  const float zr = z(r);
  const float zg = z(g);
  const float zb = z(b);
  const float below = w[1] * (r[0] * (g[1] * zb - b[1] * zg) + g[0] * (b[1] * zr - r[1] * zb) +
                              b[0] * (r[1] * zg - g[1] * zr));
  if (below == 0.0f) return {};
  return {(r[1] * (w[0] * (g[1] * zb - b[1] * zg) + w[1] * (b[0] * zg - g[0] * zb) +
                   z(w) * (g[0] * b[1] - b[0] * g[1]))) /
              below,
          (b[1] * (w[0] * (r[1] * zg - g[1] * zr) + w[1] * (g[0] * zr - r[0] * zg) +
                   z(w) * (r[0] * g[1] - g[0] * r[1]))) /
              below};
}

Shares SharesOf(const HevcColors& colors) {
  switch (colors.matrix) {
    case 1:
      return {0.2126f, 0.0722f};
    case 4:
      return {0.30f, 0.11f};
    case 5:
    case kBt601:
      return {0.299f, 0.114f};
    case 7:
      return {0.212f, 0.087f};
    case 9:
    case 10:
      return {0.2627f, 0.0593f};
    case kDerived:
    case kDerivedConstant:
      return DerivedShares(colors.primaries);
    default:
      return {};
  }
}

int Clipped(float value, int most) { return std::clamp(static_cast<int>(value + 0.5f), 0, most); }

uint8_t ClippedByte(int value) { return static_cast<uint8_t>(std::clamp(value, 0, 255)); }

}  // namespace

bool HeicPainter::Knows(const HevcPlanes& picture, bool is_smooth) {
  if (picture.chroma == 0) return true;
  const uint64_t matrix = picture.colors.matrix;
  // Colours that are none cannot be interpolated.
  return picture.bits <= kMostBits && matrix != kSt2085 && matrix != kIctcp &&
         !(is_smooth && matrix == kRgb && picture.chroma != 3);
}

HeicPainter::HeicPainter(const HevcPlanes& picture, const Region* smooth)
    : colors_(picture.colors), bits_(picture.bits), chroma_(picture.chroma) {
  if (smooth != nullptr && (chroma_ == 1 || chroma_ == 2)) {
    is_smooth_ = true;
    smooth_ = *smooth;
    room_.resize(size_t{2} * static_cast<size_t>(smooth_.width));
    // What was interpolated has been given sRGB's values for what was not said.
    if (colors_.matrix == kUnsaid) colors_.matrix = kBt601;
    if (colors_.primaries == kUnsaid) colors_.primaries = 1;
  }
  factors_ = FactorsOf(colors_);
}

HeicPainter::Factors HeicPainter::FactorsOf(const HevcColors& colors) {
  const Shares share = SharesOf(colors);
  if (share.red == 0 && share.blue == 0) return {1.402f, -0.344136f, -0.714136f, 1.772f};
  return {2 * (-share.red + 1), 2 * share.blue * (-share.blue + 1) / (share.blue + share.red - 1),
          2 * share.red * (-share.red + 1) / (share.blue + share.red - 1), 2 * (-share.blue + 1)};
}

void HeicPainter::Paint(const HevcPlanes& band, int top, int y, int left, int width, uint8_t* rgb) {
  if (bits_ > 8) {
    PaintRow<uint16_t>(band, top, y, left, width, rgb);
  } else {
    PaintRow<uint8_t>(band, top, y, left, width, rgb);
  }
}

template <typename Sample>
void HeicPainter::PaintRow(const HevcPlanes& band, int top, int y, int left, int width,
                           uint8_t* rgb) {
  const auto row = [&](int plane) {
    const int at = plane == 0 ? y - top : (y - top) >> band.shift_y();
    return reinterpret_cast<const Sample*>(band.planes[plane].data +
                                           band.planes[plane].stride * static_cast<size_t>(at));
  };
  const Sample* const luma = row(0) + left;
  if (chroma_ == 0) {
    for (int x = 0; x < width; ++x, rgb += 3) {
      rgb[0] = rgb[1] = rgb[2] = static_cast<uint8_t>(luma[x] >> (bits_ - 8));
    }
    return;
  }
  if (is_smooth_) {
    auto* const room = reinterpret_cast<Sample*>(room_.data());
    Sample* const rows[2] = {room, room + smooth_.width};
    for (int i = 0; i < 2; ++i) Interpolate(band, i + 1, y - smooth_.top, rows[i]);
    const Sample* const chroma[2] = {rows[0], rows[1]};
    PaintByFloats(luma, chroma, left - smooth_.left, width, 0, rgb);
    return;
  }
  const Sample* const chroma[2] = {row(1), row(2)};
  const bool is_simple = colors_.matrix != kRgb && colors_.matrix != kYCgCo;
  if (chroma_ == 1 && colors_.full_range && is_simple) {
    PaintByIntegers(luma, chroma, left, width, rgb);
  } else {
    PaintByFloats(luma, chroma, left, width, band.shift_x(), rgb);
  }
}

// Of 4:2:0, in 256ths.
template <typename Sample>
void HeicPainter::PaintByIntegers(const Sample* luma, const Sample* const chroma[2], int left,
                                  int width, uint8_t* rgb) const {
  const auto scaled = [](float factor) { return static_cast<int>(std::lround(256 * factor)); };
  const int r_cr = scaled(factors_.r_cr);
  const int g_cb = scaled(factors_.g_cb);
  const int g_cr = scaled(factors_.g_cr);
  const int b_cb = scaled(factors_.b_cb);
  const int shift = bits_ - 8;
  for (int x = 0; x < width; ++x, rgb += 3) {
    const int at = (left + x) >> 1;
    const int light = luma[x] >> shift;
    const int cb = (chroma[0][at] >> shift) - 128;
    const int cr = (chroma[1][at] >> shift) - 128;
    rgb[0] = ClippedByte(light + ((r_cr * cr + 128) >> 8));
    rgb[1] = ClippedByte(light + ((g_cb * cb + g_cr * cr + 128) >> 8));
    rgb[2] = ClippedByte(light + ((b_cb * cb + 128) >> 8));
  }
}

template <typename Sample>
void HeicPainter::PaintByFloats(const Sample* luma, const Sample* const chroma[2], int left,
                                int width, int shift, uint8_t* rgb) const {
  const int most = (1 << bits_) - 1;
  const int half = 1 << (bits_ - 1);
  const int down = bits_ - 8;
  const auto offset = static_cast<float>(16 << down);
  for (int x = 0; x < width; ++x, rgb += 3) {
    const int at = (left + x) >> shift;
    const int light = luma[x];
    const int cb = chroma[0][at];
    const int cr = chroma[1][at];
    int r = 0;
    int g = 0;
    int b = 0;
    if (colors_.matrix == kRgb && colors_.full_range) {
      r = cr;
      g = light;
      b = cb;
    } else if (colors_.matrix == kRgb) {
      r = Clipped((static_cast<float>(cr) - offset) * kChromaStretch, most);
      g = Clipped((static_cast<float>(light) - offset) * kLumaStretch, most);
      b = Clipped((static_cast<float>(cb) - offset) * kChromaStretch, most);
    } else if (colors_.matrix == kYCgCo) {
      // Clipped to 8 bits whatever the samples have.
      r = ClippedByte(light - (cb - half) + (cr - half));
      g = ClippedByte(light + (cb - half));
      b = ClippedByte(light - (cb - half) - (cr - half));
    } else if (colors_.matrix == kYCgCoRe) {
      const int rest = light - ((cb - half) >> 1);
      const int blue = rest - ((cr - half) >> 1);
      r = std::clamp(4 * (blue + cr - half), 0, most);
      g = std::clamp(4 * (rest + cb - half), 0, most);
      b = std::clamp(4 * blue, 0, most);
    } else {
      auto yf = static_cast<float>(light);
      auto cbf = static_cast<float>(cb - half);
      auto crf = static_cast<float>(cr - half);
      if (!colors_.full_range) {
        yf = (yf - offset) * kLumaStretch;
        cbf = cbf * kChromaStretch;
        crf = crf * kChromaStretch;
      }
      r = Clipped(yf + factors_.r_cr * crf, most);
      g = Clipped(yf + factors_.g_cb * cbf + factors_.g_cr * crf, most);
      b = Clipped(yf + factors_.b_cb * cbf, most);
    }
    rgb[0] = static_cast<uint8_t>(r >> down);
    rgb[1] = static_cast<uint8_t>(g >> down);
    rgb[2] = static_cast<uint8_t>(b >> down);
  }
}

// A row of `smooth_`, y and what is written counted from its corner: colours lie in the middle of
// the pixels that share them, and weigh 3 to 1.
template <typename Sample>
void HeicPainter::Interpolate(const HevcPlanes& picture, int plane, int y, Sample* out) const {
  const HevcPlanes::Plane& from = picture.planes[plane];
  const int shift_y = picture.shift_y();
  const auto row = [&](int at) {
    const size_t skipped = static_cast<size_t>((smooth_.top >> shift_y) + at);
    return reinterpret_cast<const Sample*>(from.data + from.stride * skipped) + (smooth_.left >> 1);
  };
  const auto mix = [](int near, int far) { return static_cast<Sample>((3 * near + far + 2) / 4); };
  const int width = smooth_.width;
  const int last = (width - 1) >> 1;
  // Pixels at an edge have colours on one side only; at the right and lower ones where their number
  // is even.
  const auto at_edge = [](int at, int count) {
    return at == 0 || (at == count - 1 && at % 2 == 1);
  };
  const Sample* const a = row(y >> shift_y);
  if (shift_y == 0) {
    for (int x = 0; x < width; ++x) {
      out[x] = at_edge(x, width) ? a[x >> 1] : mix(a[x >> 1], a[(x >> 1) + (x % 2 == 1 ? 1 : -1)]);
    }
    return;
  }
  // Along the edges of 4:2:0 libheif takes colours from half as far along as they are.
  const auto along = [&mix](int at, const auto& color) {
    const int nth = (at - 1) / 2 / 2;
    return at % 2 == 1 ? mix(color(nth), color(nth + 1)) : mix(color(nth + 1), color(nth));
  };
  if (at_edge(y, smooth_.height)) {
    for (int x = 0; x < width; ++x) {
      out[x] = at_edge(x, width) ? a[x >> 1] : along(x, [a](int nth) { return a[nth]; });
    }
    return;
  }
  const Sample* const b = row((y >> 1) + (y % 2 == 1 ? 1 : -1));
  for (int x = 0; x < width; ++x) {
    if (at_edge(x, width)) {
      const int column = x == 0 ? 0 : last;
      out[x] = along(y, [&row, column](int nth) { return row(nth)[column]; });
      continue;
    }
    const int near = x >> 1;
    const int far = near + (x % 2 == 1 ? 1 : -1);
    out[x] = static_cast<Sample>((9 * a[near] + 3 * a[far] + 3 * b[near] + b[far] + 8) / 16);
  }
}

}  // namespace pixpool
