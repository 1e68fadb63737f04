// Bytes to pixels, for the formats of formats.h, with every limit checked from the header before a
// pixel is decoded.
//
// What comes out (reference: Pillow's Image.open(...).convert("RGB")):
// - Grey is replicated; palettes are resolved; 16-bit samples keep their upper 8 bits; alpha is
//   dropped (the stored colour stays) unless a background is given; CMYK and YCCK JPEGs in Adobe
//   polarity are converted without a colour profile, R = 255 - K' scaled as Pillow does; ICC
//   profiles and gamma are ignored; of an animation the first frame.
// - What Pillow reads is read, with the same pixels, and what it refuses is refused; the exceptions
//   are in docs/pictures.md. So a truncated file is an error, never a picture with missing rows,
//   and a damaged one is often a picture: Image::damages() says what was wrong with it. Bytes after
//   the picture are not read.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/image/formats.h"
#include "server/image/image.h"
#include "server/image/options.h"
#include "server/image/rows.h"

namespace pixpool {

// "jpeg": what errors and metrics call the format.
std::string_view FormatName(ImageFormat format);
// Those of all formats of this build.
std::vector<std::string_view> FormatNames();

// What the header says.
struct ImageHeader {
  ImageFormat format = ImageFormat::kJpeg;
  int width = 0;        // as stored, before orientation
  int height = 0;       // as stored, before orientation
  int orientation = 1;  // 1 to 8, as EXIF numbers them; 1 where none or no valid one is stated
  // What decoding the file holds at most, whatever the options: some rows where the format has them
  // one after the other, else the picture.
  int64_t decode_bytes = 0;
  // The picture that is decoded, of which this one is cut out; 0: the same.
  Size decoded;
  // Whether the picture is turned whatever options say: what says how is a part of its format, and
  // no EXIF data.
  bool is_always_turned = false;
};

// The size after orientation, where that is applied.
Size UprightSize(const ImageHeader& header, bool apply_exif);

// Reads format, size and orientation without decoding, in microseconds and without allocating for
// the pixels. Errors: IMAGE_UNSUPPORTED_FORMAT, IMAGE_UNDECODABLE, LIMIT_EXCEEDED. Throws nothing
// but std::bad_alloc; any bytes are safe.
absl::StatusOr<ImageHeader> ReadImageHeader(std::string_view bytes, const ImageLimits& limits);

struct DecodeOptions {
  bool apply_exif = true;
  // Colour under transparent pixels; absent: alpha is dropped.
  std::optional<std::array<uint8_t, 3>> background;
  // A JPEG may come at 1/2, 1/4 or 1/8 of its size (each side rounded up), the smallest whose
  // unrounded sides, after orientation, are at least these: what Pillow's Image.draft gives for the
  // same size. 0: the full size.
  int min_width = 0;
  int min_height = 0;
  // The part that is needed, within DecodedSize, upright. The image that comes has at least this
  // part, and the same pixels there as without it; all of the file is checked all the same. Absent:
  // everything.
  std::optional<Region> part;
  // Whether a picture with damages is an error, IMAGE_UNDECODABLE.
  bool refuse_damaged = false;
};

// For people, about a picture that has_hidden_colors(). The same for all, so that who shows it for
// many pictures can show it once.
inline constexpr std::string_view kHiddenColorsWarning =
    "the picture is transparent in parts, and the colours that its file stores there, which "
    "viewers do not show, are taken as if they were opaque; say which colour lies under it "
    "(input_options.background, --background)";

// What is to be said of a file that was decoded.
struct DecodeNotes {
  DamageList damages;  // what was wrong with it
  // Whether alpha was dropped and colours under it matter (HiddenColors in alpha.h).
  bool has_hidden_colors = false;
};

// The size of the whole picture that DecodeImage gives, after orientation.
Size DecodedSize(const ImageHeader& header, const DecodeOptions& options);

// The same, as stored: that of the picture whose rows DecodeRows gives.
Size StoredSize(const ImageHeader& header, const DecodeOptions& options);

// How the picture that DecodeRows gives is to be turned: header.orientation, or 1.
int OrientationOf(const ImageHeader& header, const DecodeOptions& options);

// Decodes the picture whose header was read from the same bytes, and gives its rows to `sink` as
// they are stored; `options` mean the upright picture all the same. Only when it returns without an
// error is there a picture. Errors: IMAGE_UNDECODABLE, IMAGE_UNSUPPORTED_FORMAT (12-bit, lossless
// or arithmetic JPEG), OVERLOADED where memory runs out, in the sink too. Thread-safe; holds no
// state between calls, so that the same bytes and options always give the same answer.
absl::StatusOr<DecodeNotes> DecodeRows(std::string_view bytes, const ImageHeader& header,
                                       const DecodeOptions& options, RowSink* sink);

// The same as a picture in memory, upright. Errors: DecodeRows'.
absl::StatusOr<Image> DecodeImage(std::string_view bytes, const ImageHeader& header,
                                  const DecodeOptions& options);

// Whether an EXIF orientation turns the picture by a quarter.
inline bool SwapsAxes(int orientation) { return orientation >= 5; }

// The size of a stored picture once it is upright; the other way round likewise.
inline Size UprightSize(Size stored, int orientation) {
  return SwapsAxes(orientation) ? Size{stored.height, stored.width} : stored;
}

// The picture turned upright for an EXIF orientation of 1 to 8; 1 returns it as it is. A part of a
// picture becomes the part of the upright picture that it shows.
Image ApplyOrientation(Image image, int orientation);

// Where a part of a stored picture of this size comes to lie once that is upright.
Region OrientRegion(const Region& part, Size stored, int orientation);

// The orientation that takes an upright picture back to how it is stored.
inline int InverseOrientation(int orientation) {
  return orientation == 6 ? 8 : orientation == 8 ? 6 : orientation;
}

}  // namespace pixpool
