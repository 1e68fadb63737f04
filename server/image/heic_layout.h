// What a HEIC file is to be shown as: which items are decoded, how they are put together, and how
// that is turned and cut.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/image/heif_items.h"
#include "server/image/hevc_decoder.h"
#include "server/image/hevc_units.h"
#include "server/image/image.h"

namespace pixpool {

// A coded item, or a grid of them that have one size: a picture of colours, or of alpha.
struct HeicPicture {
  Size size;  // as coded, before it is turned and cut
  Size tile;
  bool is_grid = false;
  int columns = 1;
  int rows = 1;
  std::vector<uint32_t> items;       // the tiles, row by row
  int chroma = 0;                    // as the first says; chroma_format_idc
  int bits = 0;                      // likewise
  std::optional<HevcColors> colors;  // what the boxes say of all, before what the data says

  // The part that is shown, and how that is turned then, as EXIF numbers it.
  Region shown;
  int orientation = 1;
  // The part within which colours are interpolated before a turn or cut that fits them badly;
  // libheif repeats them elsewhere (heic_colors.h).
  std::optional<Region> smooth;

  Size UprightSize() const;
};

struct HeicLayout {
  HeicPicture picture;
  std::optional<HeicPicture> alpha;
  bool is_premultiplied = false;
  int64_t decode_bytes = 0;  // what decoding it holds at most
};

// A tile, or the only item of a picture, as it goes to a decoder.
struct HeicTile {
  HevcConfiguration configuration;
  HeifData data;
  HevcDemand demand;
};

// Errors: IMAGE_UNDECODABLE, IMAGE_UNSUPPORTED_FORMAT for what is put together otherwise.
absl::StatusOr<HeicLayout> ReadHeicLayout(const HeifItems& items);

// Errors: those of ReadHevcDemand, and IMAGE_UNDECODABLE where the item is not what the picture
// wants in this place.
absl::StatusOr<HeicTile> ReadHeicTile(const HeifItems& items, const HeicPicture& picture,
                                      uint32_t id);

// Rows of a picture that are decoded at a time: those of a row of tiles, or all.
int HeicBandRows(const HeicPicture& picture);

}  // namespace pixpool
