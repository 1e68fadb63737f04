// The boxes of HEIF files, which AVIF and HEIC are (ISO/IEC 14496-12 and 23008-12): as much of them
// as we look at before a library does.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "server/image/formats.h"
#include "server/image/image.h"

namespace pixpool {

// Whether a file begins as HEIF files do, with this major brand.
bool HasMajorBrand(std::string_view file, std::string_view brand);

// The same for any of its brands, the major one among them.
bool HasBrand(std::string_view file, std::string_view brand);

// What a walk over a file's boxes finds.
struct HeifIndex {
  Size largest;  // of the sizes that its pictures state, that of the most pixels; 0 where none does
  bool is_cut = false;  // the file ends within a box
  int tiles = 0;        // of pictures that are put together from others
};

// Errors: IMAGE_UNDECODABLE for a file whose index (the boxes `meta` and `moov`, without data and
// colour profiles) would have a library search or allocate out of proportion: longer than 64 KiB,
// with more than 8 pieces of metadata, 256 tiles or 4,096 references, or with pieces of data that
// overlap. All else is left to the library. Allocates nothing; any bytes are safe.
absl::StatusOr<HeifIndex> ReadHeifIndex(ImageFormat format, std::string_view file);

}  // namespace pixpool
