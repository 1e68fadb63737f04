#include "server/image/tiff_layout.h"

#include <optional>
#include <string>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/codec.h"
#include "server/image/metadata.h"
#include "server/image/tiff_directory.h"

namespace pixpool {
namespace {

constexpr uint32_t kDngVersion = 50706;

absl::Status Broken(std::string_view detail) { return Undecodable(ImageFormat::kTiff, detail); }
absl::Status Unsupported(std::string_view variant) {
  return UnsupportedVariant(ImageFormat::kTiff, variant);
}

// What the directory says of samples.
struct Samples {
  uint16_t photometric;
  uint16_t bits;
  uint16_t count;
  uint16_t format;
  uint16_t fill_order;
  uint16_t extra_count = 0;
  const uint16_t* extra = nullptr;  // of libtiff's

  uint16_t Extra(int i) const { return i < extra_count ? extra[i] : uint16_t{0}; }
  int Colors() const { return count - extra_count; }
  // Whether samples beyond the colours and the first extra one are there for nothing.
  bool OthersCountNothing() const {
    for (int i = 1; i < extra_count; ++i) {
      if (extra[i] != EXTRASAMPLE_UNSPECIFIED) return false;
    }
    return true;
  }
};

Samples ReadSamples(const TiffFile& file) {
  Samples samples{.photometric = file.Field<uint16_t>(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE),
                  .bits = file.Field<uint16_t>(TIFFTAG_BITSPERSAMPLE, 1),
                  .count = file.Field<uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1),
                  .format = file.Field<uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT),
                  .fill_order = file.Field<uint16_t>(TIFFTAG_FILLORDER, FILLORDER_MSB2LSB)};
  uint16_t count = 0;
  const uint16_t* extra = nullptr;
  if (TIFFGetField(file.get(), TIFFTAG_EXTRASAMPLES, &count, &extra) == 1) {
    samples.extra_count = count;
    samples.extra = extra;
  }
  return samples;
}

bool IsFieldThere(const TiffFile& file, uint32_t tag) {
  // Unknown fields are read as a count and values of some type.
  uint32_t count = 0;
  const void* values = nullptr;
  return TIFFGetField(file.get(), tag, &count, &values) == 1;
}

// Camera raw files begin with a preview; what is asked for lies behind it in a form of its own.
bool IsCameraRaw(std::string_view bytes, const TiffFile& file) {
  if (bytes.substr(8, 2) == "CR" || IsFieldThere(file, kDngVersion)) return true;
  uint16_t count = 0;
  const uint64_t* pages = nullptr;
  const bool reduced = (file.Field<uint32_t>(TIFFTAG_SUBFILETYPE, 0) & FILETYPE_REDUCEDIMAGE) != 0;
  return reduced && TIFFGetField(file.get(), TIFFTAG_SUBIFD, &count, &pages) == 1;
}

absl::Status CheckCompression(const TiffFile& file, const Samples& samples) {
  const auto compression = file.Field<uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  switch (compression) {
    case COMPRESSION_NONE:
    case COMPRESSION_CCITTRLE:
    case COMPRESSION_CCITTFAX3:
    case COMPRESSION_CCITTFAX4:
    case COMPRESSION_LZW:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_PACKBITS:
    case COMPRESSION_DEFLATE:
      if (samples.photometric == PHOTOMETRIC_YCBCR) {
        return Unsupported("TIFF with YCbCr samples that are not compressed as JPEG");
      }
      return absl::OkStatus();
    case COMPRESSION_JPEG:
      return absl::OkStatus();
    default:
      return Unsupported(Concat("TIFF with compression ", compression));
  }
}

// The layout for what the samples are, or nullopt where Pillow knows none or it has more bits than
// the server takes.
std::optional<TiffLayout> LayoutOf(const Samples& s, bool little_endian) {
  using Colors = TiffLayout::Colors;
  TiffLayout layout;
  layout.bits = s.bits;
  layout.samples = s.count;
  const bool reversed = s.fill_order != FILLORDER_MSB2LSB;
  const bool deep = s.bits == 16;
  const bool small = s.bits == 1 || s.bits == 2 || s.bits == 4;
  const uint16_t extra = s.Extra(0);
  if (!s.OthersCountNothing()) return std::nullopt;
  switch (s.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK: {
      const bool black = s.photometric == PHOTOMETRIC_MINISBLACK;
      if (s.format == SAMPLEFORMAT_INT && !(s.bits == 8 && black && s.count == 1 && !reversed)) {
        return std::nullopt;
      }
      // Pillow does not turn shades of 16 bits around.
      layout.inverted = !black && !deep;
      if (s.count == 1) {
        if (small || s.bits == 8) return layout;
        if (deep && (little_endian || (black && !reversed))) return layout;
        return std::nullopt;
      }
      if (s.count != 2 || s.extra_count != 1 || s.bits != 8 || !black || reversed) {
        return std::nullopt;
      }
      if (extra == EXTRASAMPLE_ASSOCALPHA) return std::nullopt;  // Pillow makes no RGB of it
      if (extra == EXTRASAMPLE_UNASSALPHA) layout.alpha = 1;
      return layout;
    }
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_YCBCR:  // libtiff gives RGB
      layout.colors = Colors::kRgb;
      if (s.bits != 8 && !deep) return std::nullopt;
      if (reversed && (s.count != 3 || deep)) return std::nullopt;
      if (s.photometric == PHOTOMETRIC_YCBCR && (s.count != 3 || deep || s.extra_count != 0)) {
        return std::nullopt;
      }
      if (s.Colors() == 4 && s.extra_count == 0) {
        layout.alpha = 3;  // nobody says so
      } else if (s.Colors() != 3 || s.extra_count > (deep ? 1 : 3)) {
        return std::nullopt;
      } else if (s.extra_count > 0 && extra != EXTRASAMPLE_UNSPECIFIED) {
        layout.alpha = 3;
        layout.premultiplied = extra == EXTRASAMPLE_ASSOCALPHA;
      }
      return layout;
    case PHOTOMETRIC_PALETTE:
      layout.colors = Colors::kPalette;
      if (s.count == 1 && (small || s.bits == 8)) return layout;
      if (s.count != 2 || s.extra_count != 1 || s.bits != 8 || reversed) return std::nullopt;
      if (extra == EXTRASAMPLE_ASSOCALPHA) return std::nullopt;
      if (extra == EXTRASAMPLE_UNASSALPHA) layout.alpha = 1;
      return layout;
    case PHOTOMETRIC_SEPARATED:
      layout.colors = Colors::kCmyk;
      if (s.Colors() != 4 || reversed || extra != EXTRASAMPLE_UNSPECIFIED) return std::nullopt;
      if ((s.bits == 8 && s.extra_count <= 2) || (deep && s.extra_count == 0)) return layout;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

absl::Status ReadPalette(const TiffFile& file, TiffLayout* layout) {
  const uint16_t* red = nullptr;
  const uint16_t* green = nullptr;
  const uint16_t* blue = nullptr;
  if (TIFFGetField(file.get(), TIFFTAG_COLORMAP, &red, &green, &blue) != 1) {
    return Broken("it has no palette");
  }
  for (size_t i = 0; i < size_t{1} << layout->bits; ++i) {
    layout->palette[i] = {static_cast<uint8_t>(red[i] >> 8), static_cast<uint8_t>(green[i] >> 8),
                          static_cast<uint8_t>(blue[i] >> 8)};
  }
  return absl::OkStatus();
}

int OrientationOf(std::string_view bytes, const TiffFile& file) {
  uint32_t size = 0;
  const char* xmp = nullptr;
  if (TIFFGetField(file.get(), TIFFTAG_XMLPACKET, &size, &xmp) != 1) size = 0;
  const std::string_view packet(xmp, size);
  // A TIFF file is a block as EXIF has it, but for that of large files.
  if (!TIFFIsBigTIFF(file.get())) return ReadOrientation(bytes, packet);
  const auto stated = file.Field<uint16_t>(TIFFTAG_ORIENTATION, 0);
  return stated >= 1 && stated <= 8 ? stated : ReadOrientation("", packet);
}

}  // namespace

absl::StatusOr<TiffLayout> ReadTiffLayout(std::string_view bytes, const TiffFile& file) {
  if (!file.ok()) return Broken(file.Problem());
  if (IsCameraRaw(bytes, file)) return Unsupported("camera raw");
  const auto width = file.Field<uint32_t>(TIFFTAG_IMAGEWIDTH, 0);
  const auto height = file.Field<uint32_t>(TIFFTAG_IMAGELENGTH, 0);
  if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX) {
    return Broken("its size is out of range");
  }
  const Samples samples = ReadSamples(file);
  PIXPOOL_RETURN_IF_ERROR(CheckCompression(file, samples));
  if (samples.format != SAMPLEFORMAT_UINT && samples.format != SAMPLEFORMAT_INT) {
    return Unsupported("TIFF with samples that are not whole numbers");
  }
  std::optional<TiffLayout> layout = LayoutOf(samples, bytes[0] == 'I');
  if (!layout) {
    return Unsupported(Concat("TIFF with ", samples.count, " samples of ", samples.bits,
                              " bits and photometric interpretation ", samples.photometric));
  }
  if (layout->colors != TiffLayout::Colors::kPalette && SaysThatPixelsAreIndices(bytes)) {
    return Broken("it has no palette");
  }
  layout->width = width;
  layout->height = height;
  layout->separate = layout->samples > 1 && file.Field<uint16_t>(TIFFTAG_PLANARCONFIG, 1) == 2;
  if (layout->separate && (layout->bits != 8 || samples.photometric == PHOTOMETRIC_YCBCR)) {
    return Unsupported("TIFF with a plane for each sample of 16 bits");
  }
  if (layout->colors == TiffLayout::Colors::kPalette) {
    PIXPOOL_RETURN_IF_ERROR(ReadPalette(file, &*layout));
  }
  if (samples.photometric == PHOTOMETRIC_YCBCR) {
    TIFFSetField(file.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  }
  layout->orientation = OrientationOf(bytes, file);
  return *layout;
}

}  // namespace pixpool
