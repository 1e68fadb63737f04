// TIFF through libtiff: the first page. Where it is stored in strips, no more than a strip is held.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "server/base/status_macros.h"
#include "server/image/alpha.h"
#include "server/image/codec.h"
#include "server/image/row_block.h"
#include "server/image/tiff_file.h"
#include "server/image/tiff_layout.h"

namespace pixpool {
namespace {

// What libtiff may take in one piece: a directory's tables, a strip's compressed bytes, a decoder.
constexpr int64_t kMostMemory = 64 << 20;
// Bytes of one tile.
constexpr int64_t kMostTile = 64 << 20;
// Of a pixel, that are painted.
constexpr int kMostSamples = 4;

// Where libtiff puts what it reads: zero before, since its JPEG decoder leaves the rest as it is
// where the picture within is narrower than the directory says. Pillow has zeros there too.
std::unique_ptr<uint8_t[]> Room(size_t size) {
  return std::unique_ptr<uint8_t[]>(new uint8_t[size]());
}

absl::Status Failure(const TiffFile& file) {
  return Undecodable(ImageFormat::kTiff, file.Problem());
}

// One sample as 8 bits, of a row of samples.
uint8_t SampleAt(const TiffLayout& layout, const uint8_t* row, size_t i) {
  if (layout.bits == 8) return row[i];
  if (layout.bits == 16) {  // in the machine's order; the upper byte counts
    uint16_t value = 0;
    std::memcpy(&value, row + 2 * i, sizeof(value));
    return static_cast<uint8_t>(value >> 8);
  }
  const auto bits = static_cast<size_t>(layout.bits);
  const uint32_t most = (1u << bits) - 1;
  return static_cast<uint8_t>(row[i * bits / 8] >> (8 - bits - i * bits % 8) & most);
}

// Turns rows of samples into pixels.
class Painter {
 public:
  Painter(const TiffLayout& layout, const std::optional<Color>& background)
      : layout_(layout), background_(background) {}

  bool has_hidden_colors() const { return hidden_.matter(); }

  // Paints pixels of the y-th row.
  void Paint(const uint8_t* row, size_t count, int y, uint8_t* rgb) {
    const bool looks = layout_.alpha >= 0 && !background_ && y % HiddenColors::kRowStep == 0;
    const auto samples = static_cast<size_t>(layout_.samples);
    for (size_t x = 0; x < count; ++x, rgb += 3) {
      uint8_t pixel[kMostSamples] = {};
      for (size_t s = 0; s < std::min(samples, size_t{kMostSamples}); ++s) {
        pixel[s] = SampleAt(layout_, row, x * samples + s);
      }
      PaintPixel(pixel, rgb);
      if (looks) {
        const uint8_t rgba[4] = {rgb[0], rgb[1], rgb[2], pixel[layout_.alpha]};
        hidden_.LookAt(rgba, 1);
      }
    }
  }

 private:
  void PaintPixel(const uint8_t* pixel, uint8_t* rgb) const {
    switch (layout_.colors) {
      case TiffLayout::Colors::kGrey: {
        const int most = layout_.bits < 8 ? (1 << layout_.bits) - 1 : 255;
        const int shade = pixel[0] * (255 / most);
        std::memset(rgb, layout_.inverted ? 255 - shade : shade, 3);
        break;
      }
      case TiffLayout::Colors::kPalette:
        std::memcpy(rgb, layout_.palette[pixel[0]].data(), 3);
        break;
      case TiffLayout::Colors::kRgb:
        for (int c = 0; c < 3; ++c) rgb[c] = layout_.premultiplied ? Divided(pixel, c) : pixel[c];
        break;
      case TiffLayout::Colors::kCmyk: {
        const unsigned light = 255u - pixel[3];
        for (int c = 0; c < 3; ++c) {
          const unsigned ink = pixel[c] * light + 128;
          rgb[c] = static_cast<uint8_t>(light - ((ink + (ink >> 8)) >> 8));
        }
        break;
      }
    }
    if (layout_.alpha >= 0 && background_) {
      const uint8_t rgba[4] = {rgb[0], rgb[1], rgb[2], pixel[layout_.alpha]};
      CompositeRow(rgba, 1, *background_, rgb);
    }
  }

  // The colour that was multiplied by alpha.
  static uint8_t Divided(const uint8_t* pixel, int c) {
    const int alpha = pixel[3];
    return alpha == 0 ? 0 : static_cast<uint8_t>(std::min(255, 255 * pixel[c] / alpha));
  }

  const TiffLayout& layout_;
  const std::optional<Color> background_;
  HiddenColors hidden_;
};

// Whether the rows of a strip may run into each other, as some writers have them, so that only a
// strip as a whole can be read.
bool RowsAreTiedUp(const TiffFile& file) {
  switch (file.Field<uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE)) {
    case COMPRESSION_PACKBITS:
    case COMPRESSION_CCITTRLE:
    case COMPRESSION_CCITTFAX3:
    case COMPRESSION_CCITTFAX4:
      return true;
    default:
      return false;
  }
}

absl::Status ReadWholeStrips(const TiffFile& file, const TiffLayout& layout, Painter* painter,
                             RowBlock* block) {
  const auto row_size = static_cast<int64_t>(TIFFScanlineSize64(file.get()));
  const auto size = static_cast<size_t>(TIFFStripSize64(file.get()));
  const uint32_t at_once =
      std::min(file.Field<uint32_t>(TIFFTAG_ROWSPERSTRIP, layout.height), layout.height);
  if (size == 0 || at_once == 0) return Failure(file);
  const std::unique_ptr<uint8_t[]> strip = Room(size);
  for (uint32_t y = 0; y < layout.height; y += at_once) {
    const uint32_t rows = std::min(at_once, layout.height - y);
    const int64_t read =
        TIFFReadEncodedStrip(file.get(), y / at_once, strip.get(), static_cast<tmsize_t>(size));
    if (read < row_size * rows) return Failure(file);
    for (uint32_t i = 0; i < rows; ++i) {
      const auto row = static_cast<int>(y + i);
      painter->Paint(strip.get() + row_size * i, layout.width, row, block->Next());
    }
  }
  return absl::OkStatus();
}

absl::Status ReadStrips(const TiffFile& file, const TiffLayout& layout, Painter* painter,
                        RowBlock* block) {
  const auto size = static_cast<size_t>(TIFFScanlineSize64(file.get()));
  const size_t samples = static_cast<size_t>(layout.separate ? 1 : layout.samples);
  if (size < (samples * layout.width * static_cast<size_t>(layout.bits) + 7) / 8) {
    return Failure(file);
  }
  if (RowsAreTiedUp(file)) return ReadWholeStrips(file, layout, painter, block);
  const std::unique_ptr<uint8_t[]> row = Room(size);
  for (uint32_t y = 0; y < layout.height; ++y) {
    if (TIFFReadScanline(file.get(), row.get(), y, 0) != 1) return Failure(file);
    painter->Paint(row.get(), layout.width, static_cast<int>(y), block->Next());
  }
  return absl::OkStatus();
}

absl::Status ReadTiles(const TiffFile& file, const TiffLayout& layout, Painter* painter,
                       Image* image) {
  const auto tile_width = file.Field<uint32_t>(TIFFTAG_TILEWIDTH, 0);
  const auto tile_height = file.Field<uint32_t>(TIFFTAG_TILELENGTH, 0);
  const auto size = static_cast<int64_t>(TIFFTileSize64(file.get()));
  const auto row_size = static_cast<size_t>(TIFFTileRowSize64(file.get()));
  if (tile_width == 0 || tile_height == 0 || size <= 0) return Failure(file);
  if (size > kMostTile) {
    return Undecodable(ImageFormat::kTiff, "a tile of it would take more than 64 MiB");
  }
  const std::unique_ptr<uint8_t[]> tile = Room(static_cast<size_t>(size));
  for (uint32_t y = 0; y < layout.height; y += tile_height) {
    for (uint32_t x = 0; x < layout.width; x += tile_width) {
      if (TIFFReadTile(file.get(), tile.get(), x, y, 0, 0) < 0) return Failure(file);
      const uint32_t rows = std::min(tile_height, layout.height - y);
      for (uint32_t i = 0; i < rows; ++i) {
        const auto row = static_cast<int>(y + i);
        painter->Paint(tile.get() + i * row_size, std::min(tile_width, layout.width - x), row,
                       image->row(row) + size_t{3} * x);
      }
    }
  }
  return absl::OkStatus();
}

// A plane for each sample, of 8 bits each: put into the pixels' places one plane after the other.
absl::Status ReadPlanes(const TiffFile& file, const TiffLayout& layout, Painter* painter,
                        Image* image) {
  if (TIFFIsTiled(file.get()) != 0) {
    return UnsupportedVariant(ImageFormat::kTiff, "TIFF with a plane for each sample in tiles");
  }
  const auto size = static_cast<size_t>(TIFFScanlineSize64(file.get()));
  if (size < layout.width) return Failure(file);
  const auto samples = static_cast<size_t>(std::min(layout.samples, kMostSamples));
  const std::unique_ptr<uint8_t[]> row = Room(size);
  const std::unique_ptr<uint8_t[]> whole(
      new uint8_t[size_t{layout.width} * layout.height * samples]);
  for (size_t s = 0; s < samples; ++s) {
    uint8_t* out = whole.get() + s;
    for (uint32_t y = 0; y < layout.height; ++y) {
      if (TIFFReadScanline(file.get(), row.get(), y, static_cast<uint16_t>(s)) != 1) {
        return Failure(file);
      }
      for (uint32_t x = 0; x < layout.width; ++x, out += samples) *out = row[x];
    }
  }
  for (uint32_t y = 0; y < layout.height; ++y) {
    painter->Paint(whole.get() + y * samples * layout.width, layout.width, static_cast<int>(y),
                   image->row(static_cast<int>(y)));
  }
  return absl::OkStatus();
}

bool IsTiff(std::string_view bytes) {
  const std::string_view magic = bytes.substr(0, 4);
  return magic == std::string_view("II*\0", 4) || magic == std::string_view("MM\0*", 4) ||
         magic == std::string_view("II+\0", 4) || magic == std::string_view("MM\0+", 4);
}

// What decoding holds at most: the compressed bytes of a strip or tile (no more than the file),
// what libtiff's codecs hold, libjpeg's rows among it, and the picture or a part of it.
int64_t DecodeBytes(std::string_view bytes, const TiffFile& file, const TiffLayout& layout) {
  constexpr int64_t kTables = 500'000;
  constexpr int64_t kByColumn = 256;
  const int64_t pixels = BoundedPixels(layout.width, layout.height);
  const int64_t held = static_cast<int64_t>(bytes.size()) + kTables + kByColumn * layout.width;
  if (layout.separate) return held + (3 + std::min(layout.samples, kMostSamples)) * pixels;
  if (TIFFIsTiled(file.get()) != 0) {
    return held + std::min(static_cast<int64_t>(TIFFTileSize64(file.get())), kMostTile) +
           3 * pixels;
  }
  const auto strip = static_cast<int64_t>(RowsAreTiedUp(file) ? TIFFStripSize64(file.get())
                                                              : TIFFScanlineSize64(file.get()));
  return held + strip + RowBlock::MostBytes(static_cast<int>(layout.width));
}

absl::StatusOr<ImageHeader> ReadTiffHeader(std::string_view bytes) {
  const TiffFile file(bytes, kMostMemory);
  PIXPOOL_ASSIGN_OR_RETURN(const TiffLayout layout, ReadTiffLayout(bytes, file));
  return ImageHeader{ImageFormat::kTiff, static_cast<int>(layout.width),
                     static_cast<int>(layout.height), layout.orientation,
                     DecodeBytes(bytes, file, layout)};
}

absl::StatusOr<DecodeNotes> DecodeTiff(std::string_view bytes, const ImageHeader& header,
                                       const DecodeOptions& options, RowSink* sink) {
  const TiffFile file(bytes, kMostMemory);
  PIXPOOL_ASSIGN_OR_RETURN(const TiffLayout layout, ReadTiffLayout(bytes, file));
  if (layout.width != static_cast<uint32_t>(header.width) ||
      layout.height != static_cast<uint32_t>(header.height)) {
    return Undecodable(ImageFormat::kTiff, "its size is not the header's");
  }
  TiffLayout joined = layout;
  if (layout.separate) joined.samples = std::min(layout.samples, kMostSamples);
  Painter painter(joined, options.background);
  const Size size = {header.width, header.height};
  if (!layout.separate && TIFFIsTiled(file.get()) == 0) {
    RowBlock block({0, 0, size.width, size.height}, size, sink);
    PIXPOOL_RETURN_IF_ERROR(ReadStrips(file, layout, &painter, &block));
    block.Finish();
  } else {
    Image image(size.width, size.height);
    PIXPOOL_RETURN_IF_ERROR(layout.separate ? ReadPlanes(file, layout, &painter, &image)
                                            : ReadTiles(file, layout, &painter, &image));
    sink->TakeAll(std::move(image));
  }
  if (file.ended_early()) return Truncated(ImageFormat::kTiff, "it is truncated");
  return DecodeNotes{.damages = {}, .has_hidden_colors = painter.has_hidden_colors()};
}

}  // namespace

const Codec kTiffCodec = {.name = "tiff",
                          .title = "TIFF",
                          .wanted = "a TIFF with 8 or 16 bits a sample",
                          .matches = IsTiff,
                          .read_header = ReadTiffHeader,
                          .decode = DecodeTiff};

}  // namespace pixpool
