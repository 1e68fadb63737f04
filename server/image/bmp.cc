// BMP, by our own reader: little is in it that could go wrong, and no library of Debian reads what
// Pillow reads.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "server/base/status_macros.h"
#include "server/image/alpha.h"
#include "server/image/bmp_layout.h"
#include "server/image/bytes.h"
#include "server/image/codec.h"
#include "server/image/row_block.h"

namespace pixpool {
namespace {

absl::Status CutShort() { return Truncated(ImageFormat::kBmp, "it is truncated"); }

size_t RowBytes(const BmpLayout& layout) {
  return (size_t{layout.width} * static_cast<size_t>(layout.bits) + 7) / 8;
}

// The row of the picture, from the top, that is the y-th in the file.
int RowOf(const BmpLayout& layout, uint32_t y) {
  return static_cast<int>(layout.top_down ? y : layout.height - 1 - y);
}

void UnpackIndices(const BmpLayout& layout, std::string_view row, uint8_t* rgb) {
  const auto bits = static_cast<size_t>(layout.bits);
  const uint32_t mask = (1u << bits) - 1;
  for (size_t x = 0; x < layout.width; ++x, rgb += 3) {
    const uint32_t byte = ReadByte(row, x * bits / 8);
    std::memcpy(rgb, layout.palette[byte >> (8 - bits - x * bits % 8) & mask].data(), 3);
  }
}

uint8_t Scaled(uint32_t value, int bits) {
  const uint32_t most = (1u << bits) - 1;
  return static_cast<uint8_t>((value & most) * 255 / most);
}

void Unpack16(const BmpLayout& layout, std::string_view row, uint8_t* rgb) {
  const int green = layout.green_has_6_bits ? 6 : 5;
  for (size_t x = 0; x < layout.width; ++x, rgb += 3) {
    const uint32_t pixel = ReadLittle16(row, 2 * x);
    rgb[0] = Scaled(pixel >> (5 + green), 5);
    rgb[1] = Scaled(pixel >> 5, green);
    rgb[2] = Scaled(pixel, 5);
  }
}

// Three samples of each pixel, or with `alpha` four.
void UnpackSamples(const BmpLayout& layout, std::string_view row, bool alpha, uint8_t* out) {
  const auto step = static_cast<size_t>(layout.bits / 8);
  const auto* in = reinterpret_cast<const uint8_t*>(row.data());
  for (size_t x = 0; x < layout.width; ++x, in += step) {
    *out++ = in[layout.red];
    *out++ = in[layout.green];
    *out++ = in[layout.blue];
    if (alpha) *out++ = in[layout.alpha];
  }
}

// The indices that a run-length encoded picture holds, row by row as in the file. What is too short
// is an error; beyond its end nothing is read. The rules for what encoders should not write are
// Pillow's.
absl::StatusOr<std::vector<uint8_t>> UnpackRuns(const BmpLayout& layout, std::string_view bytes) {
  const size_t width = layout.width;
  const size_t size = width * layout.height;
  std::vector<uint8_t> out;
  out.reserve(size);
  size_t at = layout.offset;
  size_t x = 0;
  while (out.size() < size) {
    if (at > bytes.size() || bytes.size() - at < 2) return CutShort();
    const size_t count = ReadByte(bytes, at);
    const uint32_t value = ReadByte(bytes, at + 1);
    at += 2;
    if (count > 0) {
      const size_t fits = std::min({count, width - std::min(x, width), size - out.size()});
      for (size_t i = 0; i < fits; ++i) {
        const uint32_t half = i % 2 == 0 ? value >> 4 : value & 15;
        out.push_back(static_cast<uint8_t>(layout.rle4 ? half : value));
      }
      x += x + count > width ? width - std::min(x, width) : count;
    } else if (value == 0) {  // the end of a row
      out.resize((out.size() + width - 1) / width * width);
      x = 0;
    } else if (value == 1) {  // the end of the picture
      return CutShort();
    } else if (value == 2) {  // a jump
      if (bytes.size() - at < 2) return CutShort();
      const size_t pixels = ReadByte(bytes, at) + ReadByte(bytes, at + 1) * width;
      at += 2;
      out.resize(std::min(size, out.size() + pixels));
      x = out.size() % width;
    } else {  // pixels one by one
      const size_t pixels = std::min(size - out.size(), size_t{value});
      const size_t stored = layout.rle4 ? (pixels + 1) / 2 : pixels;
      if (bytes.size() - at < stored) return CutShort();
      for (size_t i = 0; i < pixels; ++i) {
        const uint32_t byte = ReadByte(bytes, at + (layout.rle4 ? i / 2 : i));
        const uint32_t half = i % 2 == 0 ? byte >> 4 : byte & 15;
        out.push_back(static_cast<uint8_t>(layout.rle4 ? half : byte));
      }
      at += stored;
      x += value;
      at += at % 2;
    }
  }
  return out;
}

absl::StatusOr<DecodeNotes> DecodeRuns(const BmpLayout& layout, std::string_view bytes,
                                       RowSink* sink) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<uint8_t> indices, UnpackRuns(layout, bytes));
  Image image(static_cast<int>(layout.width), static_cast<int>(layout.height));
  const uint8_t* in = indices.data();
  for (uint32_t y = 0; y < layout.height; ++y) {
    uint8_t* rgb = image.row(RowOf(layout, y));
    for (uint32_t x = 0; x < layout.width; ++x, rgb += 3) {
      std::memcpy(rgb, layout.palette[*in++].data(), 3);
    }
  }
  sink->TakeAll(std::move(image));
  return DecodeNotes();
}

absl::StatusOr<DecodeNotes> DecodePlain(const BmpLayout& layout, std::string_view bytes,
                                        const DecodeOptions& options, RowSink* sink) {
  const size_t row_bytes = RowBytes(layout);
  if (row_bytes > layout.stride) {
    return Undecodable(ImageFormat::kBmp, "its palette does not go with its depth");
  }
  // The last row may lack its padding.
  const size_t needed = layout.stride * (layout.height - 1) + row_bytes;
  if (layout.offset > bytes.size() || bytes.size() - layout.offset < needed) return CutShort();
  const Size size = {static_cast<int>(layout.width), static_cast<int>(layout.height)};
  RowBlock block({0, 0, size.width, size.height}, size, sink);
  std::unique_ptr<uint8_t[]> rgba;
  if (layout.alpha >= 0) rgba.reset(new uint8_t[size_t{layout.width} * 4]);
  HiddenColors hidden;
  for (uint32_t y = 0; y < layout.height; ++y) {
    const size_t stored = layout.top_down ? y : layout.height - 1 - y;
    const std::string_view row = bytes.substr(layout.offset + layout.stride * stored, row_bytes);
    uint8_t* rgb = block.Next();
    if (layout.bits <= 8) {
      UnpackIndices(layout, row, rgb);
    } else if (layout.bits == 16) {
      Unpack16(layout, row, rgb);
    } else if (layout.alpha >= 0 && options.background) {
      UnpackSamples(layout, row, true, rgba.get());
      CompositeRow(rgba.get(), size.width, *options.background, rgb);
    } else {
      UnpackSamples(layout, row, false, rgb);
      if (layout.alpha >= 0 && y % HiddenColors::kRowStep == 0) {
        UnpackSamples(layout, row, true, rgba.get());
        hidden.LookAt(rgba.get(), size.width);
      }
    }
  }
  block.Finish();
  return DecodeNotes{.damages = {}, .has_hidden_colors = hidden.matter()};
}

bool IsBmp(std::string_view bytes) { return bytes.substr(0, 2) == "BM"; }

absl::StatusOr<ImageHeader> ReadBmpHeader(std::string_view bytes) {
  PIXPOOL_ASSIGN_OR_RETURN(const BmpLayout layout, ReadBmpLayout(bytes));
  const Size size = {static_cast<int>(layout.width), static_cast<int>(layout.height)};
  // Run-length encoded, the picture and its indices; else rows, and one with alpha.
  const int64_t held = layout.rle ? (3 + 1) * BoundedPixels(size.width, size.height)
                                  : RowBlock::MostBytes(size.width) + int64_t{4} * size.width;
  return ImageHeader{ImageFormat::kBmp, size.width, size.height, 1, held};
}

absl::StatusOr<DecodeNotes> DecodeBmp(std::string_view bytes, const ImageHeader& header,
                                      const DecodeOptions& options, RowSink* sink) {
  PIXPOOL_ASSIGN_OR_RETURN(const BmpLayout layout, ReadBmpLayout(bytes));
  if (layout.width != static_cast<uint32_t>(header.width) ||
      layout.height != static_cast<uint32_t>(header.height)) {
    return Undecodable(ImageFormat::kBmp, "its size is not the header's");
  }
  return layout.rle ? DecodeRuns(layout, bytes, sink) : DecodePlain(layout, bytes, options, sink);
}

}  // namespace

const Codec kBmpCodec = {.name = "bmp",
                         .title = "BMP",
                         .wanted = "a BMP",
                         .matches = IsBmp,
                         .read_header = ReadBmpHeader,
                         .decode = DecodeBmp};

}  // namespace pixpool
