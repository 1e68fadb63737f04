// The boxes of HEIF files, which AVIF and HEIC are (ISO/IEC 14496-12 and 23008-12), and a look at
// all of them before anything else is done with a file. What they say of pictures is in
// heif_items.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/image/bytes.h"
#include "server/image/formats.h"
#include "server/image/image.h"

namespace pixpool {

struct HeifBox {
  std::string_view type;  // four characters
  std::string_view body;
  bool is_cut = false;  // it should be longer
};

// Takes the box at the front of `bytes`. One that goes beyond the end ends there; nullopt where no
// box is.
std::optional<HeifBox> TakeHeifBox(std::string_view* bytes);

// Takes big-endian numbers from the front of bytes.
class NumberReader {
 public:
  explicit NumberReader(std::string_view bytes) : bytes_(bytes) {}

  // A number of up to 8 bytes. False where there are not so many.
  bool Take(size_t size, uint64_t* number) {
    if (size > sizeof(*number) || size > bytes_.size()) return false;
    *number = 0;
    for (size_t i = 0; i < size; ++i) *number = *number << 8 | ReadByte(bytes_, i);
    bytes_.remove_prefix(size);
    return true;
  }
  bool Skip(size_t size) {
    if (size > bytes_.size()) return false;
    bytes_.remove_prefix(size);
    return true;
  }
  std::string_view rest() const { return bytes_; }

 private:
  std::string_view bytes_;
};

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

// What an index may have.
struct HeifBounds {
  int tiles = 0;
  int metadata = 0;  // EXIF data, XMP and other pieces of text
};

// Errors: IMAGE_UNDECODABLE for a file whose index (the boxes `meta` and `moov`, without data and
// colour profiles) would have its reader search or allocate out of proportion: longer than 64 KiB,
// with more than `bounds` or 4,096 references, or with pieces of data that overlap. All else is
// left to the reader. Allocates nothing; any bytes are safe.
absl::StatusOr<HeifIndex> ReadHeifIndex(ImageFormat format, std::string_view file,
                                        const HeifBounds& bounds);

}  // namespace pixpool
