// How the boxes `irot`, `imir` and `clap` of a HEIF file turn and cut a picture, one after the
// other.
#pragma once

#include <optional>
#include <string_view>

#include "server/image/image.h"

namespace pixpool {

class HeicTurns {
 public:
  // Of a picture whose colours are sampled so (chroma_format_idc).
  HeicTurns(Size size, int chroma)
      : chroma_(chroma), size_(size), shown_{0, 0, size.width, size.height} {}

  // What the box of a property says; false where it is damaged or nothing is left.
  bool Rotate(std::string_view irot);
  bool Mirror(std::string_view imir);
  bool Cut(std::string_view clap);

  // In the stored picture.
  const Region& shown() const { return shown_; }
  // Of what is shown, as EXIF numbers it.
  int orientation() const;
  // What libheif has turned 4:4:4 by then, by interpolation: chroma that is shared by two pixels
  // cannot be cut or turned in their middle.
  const std::optional<Region>& smooth() const { return smooth_; }

 private:
  Size upright() const;
  void MakeSmooth(bool must);

  int chroma_;
  Size size_;
  Region shown_;
  // First by quarters against the clock, then left and right change places.
  int quarters_ = 0;
  bool is_mirrored_ = false;
  std::optional<Region> smooth_;
};

}  // namespace pixpool
