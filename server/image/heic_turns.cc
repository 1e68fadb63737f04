#include "server/image/heic_turns.h"

#include <algorithm>
#include <cstdint>

#include "server/image/bytes.h"
#include "server/image/decode.h"

namespace pixpool {
namespace {

// As libheif has fractions: of numbers that are too large the lowest bits are lost.
struct Fraction {
  int64_t above = 0;
  int64_t below = 1;

  // Of a box.
  static Fraction Read(std::string_view box, size_t at, bool is_signed) {
    constexpr int64_t kMost = 1 << 16;
    const uint32_t above = ReadBig32(box, at);
    Fraction out = {is_signed ? static_cast<int32_t>(above) : int64_t{above},
                    ReadBig32(box, at + 4)};
    while (out.below > kMost) out = {out.above / 2, out.below / 2};
    while (out.below > 1 && (out.above > kMost || out.above < -kMost)) {
      out = {out.above / 2, out.below / 2};
    }
    return out;
  }
  Fraction Shortened() const {
    Fraction out = *this;
    const auto fits = [](int64_t n) { return n >= INT32_MIN && n <= INT32_MAX; };
    while (!fits(out.above) || !fits(out.below)) {
      out = {(out.above + (out.above >= 0 ? 1 : -1)) / 2, (out.below + 1) / 2};
    }
    return out;
  }
  Fraction Plus(const Fraction& other, int sign) const {
    if (below == other.below) return Fraction{above + sign * other.above, below}.Shortened();
    return Fraction{above * other.below + sign * other.above * below, below * other.below}
        .Shortened();
  }
  Fraction PlusWhole(int64_t number) const {
    return Fraction{above + number * below, below}.Shortened();
  }
  Fraction Half() const { return Fraction{above, below * 2}.Shortened(); }
  int64_t Truncated() const { return above / below; }
  int64_t Rounded() const { return (above + below / 2) / below; }
};

// How far from its edge a cut of `length`, `offset` beside the middle of `all`, begins.
Fraction Begin(const Fraction& length, const Fraction& offset, int all) {
  const Fraction middle = offset.Plus({all - 1, 2}, 1);
  return middle.Plus(length.PlusWhole(-1).Half(), -1);
}

}  // namespace

Size HeicTurns::upright() const {
  return UprightSize({shown_.width, shown_.height}, orientation());
}

int HeicTurns::orientation() const {
  constexpr int kTurned[4] = {1, 8, 3, 6};
  constexpr int kMirrored[4] = {2, 7, 4, 5};
  return is_mirrored_ ? kMirrored[quarters_] : kTurned[quarters_];
}

void HeicTurns::MakeSmooth(bool must) {
  if (must && !smooth_) smooth_ = shown_;
}

bool HeicTurns::Rotate(std::string_view irot) {
  if (irot.empty()) return false;
  const int quarters = static_cast<int>(ReadByte(irot, 0) & 3);
  const bool odd_width = upright().width % 2 == 1;
  const bool odd_height = upright().height % 2 == 1;
  if (chroma_ == 2) MakeSmooth(quarters % 2 == 1 || (quarters == 2 && odd_height));
  if (chroma_ == 1) {
    MakeSmooth((quarters == 1 && odd_width) || (quarters == 3 && odd_height) ||
               (quarters == 2 && (odd_width || odd_height)));
  }
  quarters_ = (quarters_ + (is_mirrored_ ? 4 - quarters : quarters)) % 4;
  return true;
}

bool HeicTurns::Mirror(std::string_view imir) {
  if (imir.empty()) return false;
  const bool is_sideways = (ReadByte(imir, 0) & 1) != 0;  // left and right change places
  const bool odd_width = upright().width % 2 == 1;
  const bool odd_height = upright().height % 2 == 1;
  if (chroma_ == 2) MakeSmooth(is_sideways && odd_width);
  if (chroma_ == 1) MakeSmooth(odd_width || odd_height);
  is_mirrored_ = !is_mirrored_;
  if (!is_sideways) quarters_ = (quarters_ + 2) % 4;
  return true;
}

bool HeicTurns::Cut(std::string_view clap) {
  constexpr size_t kSize = 32;
  if (clap.size() < kSize) return false;
  for (const size_t at : {0u, 4u, 8u, 12u, 20u, 28u}) {
    if (ReadBig32(clap, at) > INT32_MAX) return false;
  }
  const Fraction width = Fraction::Read(clap, 0, false);
  const Fraction height = Fraction::Read(clap, 8, false);
  const Fraction across = Fraction::Read(clap, 16, true);
  const Fraction down = Fraction::Read(clap, 24, true);
  for (const Fraction& one : {width, height, across, down}) {
    if (one.below == 0) return false;
  }
  if (width.Rounded() <= 0 || height.Rounded() <= 0) return false;
  const Size all = upright();
  // libheif rounds the left edge otherwise than the others.
  const int64_t begin_x = Begin(width, across, all.width).Truncated();
  const int64_t begin_y = Begin(height, down, all.height).Rounded();
  const int64_t end_x = width.PlusWhole(-1).PlusWhole(begin_x).Rounded();
  const int64_t end_y = height.PlusWhole(-1).PlusWhole(begin_y).Rounded();
  const int64_t left = std::max<int64_t>(begin_x, 0);
  const int64_t top = std::max<int64_t>(begin_y, 0);
  // As by libheif, where an end before the picture counts as one behind it.
  const auto end = [](int64_t at, int64_t all) { return at < 0 ? all - 1 : std::min(at, all - 1); };
  const int64_t right = end(end_x, all.width);
  const int64_t bottom = end(end_y, all.height);
  if (left > right || top > bottom) return false;
  if (chroma_ == 2) MakeSmooth(left % 2 == 1);
  if (chroma_ == 1) MakeSmooth(left % 2 == 1 || top % 2 == 1);
  const Region kept = {static_cast<int>(left), static_cast<int>(top),
                       static_cast<int>(right - left + 1), static_cast<int>(bottom - top + 1)};
  const Region stored = OrientRegion(kept, all, InverseOrientation(orientation()));
  shown_ = {shown_.left + stored.left, shown_.top + stored.top, stored.width, stored.height};
  return true;
}

}  // namespace pixpool
