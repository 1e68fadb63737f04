// GIF: the first frame at its place on the canvas, by our own LZW decoder. giflib reads neither all
// that Pillow reads nor stops where it stops, and its tables are the smaller part of this file.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "server/base/status_macros.h"
#include "server/image/alpha.h"
#include "server/image/bytes.h"
#include "server/image/codec.h"
#include "server/image/gif_layout.h"

namespace pixpool {
namespace {

constexpr size_t kMostBits = 12;
constexpr size_t kTableSize = size_t{1} << kMostBits;

absl::Status Broken(std::string_view detail) { return Undecodable(ImageFormat::kGif, detail); }

// The codes in the blocks of a frame, least significant bits first. A block counts only as a whole.
class CodeReader {
 public:
  CodeReader(std::string_view bytes, size_t at) : bytes_(bytes), at_(at) {}

  // False where the data ends.
  bool Take(size_t size, uint32_t* code) {
    while (bit_count_ < size) {
      if (block_left_ == 0) {
        if (at_ >= bytes_.size()) return false;
        block_left_ = ReadByte(bytes_, at_++);
        if (bytes_.size() - at_ < block_left_) return false;
      } else {
        bits_ |= ReadByte(bytes_, at_++) << bit_count_;
        bit_count_ += 8;
        --block_left_;
      }
    }
    *code = bits_ & ((1u << size) - 1);
    bits_ >>= size;
    bit_count_ -= size;
    return true;
  }

 private:
  const std::string_view bytes_;
  size_t at_;
  size_t block_left_ = 0;
  uint32_t bits_ = 0;
  size_t bit_count_ = 0;
};

// Puts indices as colours into the frame's rows, in their order. Interlaced rows come in four
// passes.
class FrameWriter {
 public:
  FrameWriter(const GifLayout& layout, Image* image)
      : layout_(layout), image_(image), step_(layout.interlaced ? 8 : 1) {}

  bool done() const { return y_ >= layout_.frame.height; }
  int64_t transparent() const { return transparent_; }  // pixels so far

  void Put(uint8_t index) {
    uint8_t* pixel = image_->row(layout_.frame.top + y_) +
                     size_t{3} * static_cast<size_t>(layout_.frame.left + x_);
    std::memcpy(pixel, layout_.palette[index].data(), 3);
    transparent_ += index == layout_.transparent ? 1 : 0;
    if (++x_ < layout_.frame.width) return;
    x_ = 0;
    y_ += step_;
    while (done() && layout_.interlaced && pass_ < 3) {
      ++pass_;
      y_ = 8 >> pass_;
      step_ = y_ * 2;
    }
  }

 private:
  const GifLayout& layout_;
  Image* const image_;
  int x_ = 0;
  int y_ = 0;
  int step_;
  int pass_ = 0;
  int64_t transparent_ = 0;
};

// The strings that codes stand for: the string of another code and one more index.
class CodeTable {
 public:
  explicit CodeTable(size_t first_bits)
      : first_bits_(first_bits), clear_(1u << first_bits), next_(clear_ + 2) {}

  uint32_t clear() const { return clear_; }
  uint32_t end() const { return clear_ + 1; }
  size_t code_size() const { return code_size_; }

  void Reset() {
    code_size_ = first_bits_ + 1;
    next_ = clear_ + 2;
    started_ = false;
  }

  // Writes the string of a code, and takes note of a new one. False if the code cannot be.
  bool Expand(uint32_t code, FrameWriter* out) {
    if (!started_) {
      if (code > clear_) return false;
      started_ = true;
      last_code_ = code;
      first_index_ = static_cast<uint8_t>(code);
      out->Put(first_index_);
      return true;
    }
    if (code > next_) return false;
    size_t size = 0;  // of the string, which is found from its end
    uint32_t at = code;
    if (code == next_) {  // the string that this code makes: the last one and its own first index
      string_[size++] = first_index_;
      at = last_code_;
    }
    while (at >= clear_) {
      if (size == kTableSize || at >= kTableSize) return false;
      string_[size++] = index_[at];
      at = link_[at];
    }
    first_index_ = static_cast<uint8_t>(at);
    out->Put(first_index_);
    while (size > 0 && !out->done()) out->Put(string_[--size]);
    Add();
    last_code_ = code;
    return true;
  }

 private:
  void Add() {
    if (next_ >= kTableSize) return;
    index_[next_] = first_index_;
    link_[next_] = static_cast<uint16_t>(last_code_);
    if (next_ == (1u << code_size_) - 1 && code_size_ < kMostBits) ++code_size_;
    ++next_;
  }

  const size_t first_bits_;
  const uint32_t clear_;
  size_t code_size_ = first_bits_ + 1;
  uint32_t next_;  // the code of the next string
  bool started_ = false;
  uint32_t last_code_ = 0;
  uint8_t first_index_ = 0;  // of the last string
  std::array<uint8_t, kTableSize> index_;
  std::array<uint16_t, kTableSize> link_;
  std::array<uint8_t, kTableSize> string_;
};

absl::Status DecodeFrame(std::string_view bytes, const GifLayout& layout, Image* image,
                         int64_t* transparent) {
  CodeReader codes(bytes, layout.data);
  FrameWriter writer(layout, image);
  CodeTable table(static_cast<size_t>(layout.first_bits));
  while (!writer.done()) {
    uint32_t code = 0;
    if (!codes.Take(table.code_size(), &code))
      return Truncated(ImageFormat::kGif, "it is truncated");
    if (code == table.clear()) {
      table.Reset();
    } else if (code == table.end()) {
      return Broken("its first frame ends before its last row");
    } else if (!table.Expand(code, &writer)) {
      return Broken("its data is damaged");
    }
  }
  *transparent = writer.transparent();
  return absl::OkStatus();
}

bool IsGif(std::string_view bytes) {
  return bytes.substr(0, 6) == "GIF87a" || bytes.substr(0, 6) == "GIF89a";
}

absl::StatusOr<ImageHeader> ReadGifHeader(std::string_view bytes) {
  PIXPOOL_ASSIGN_OR_RETURN(const GifLayout layout, ReadGifLayout(bytes));
  const Size size = layout.canvas;
  return ImageHeader{ImageFormat::kGif, size.width, size.height, 1,
                     int64_t{3} * size.width * size.height};
}

absl::StatusOr<DecodeNotes> DecodeGif(std::string_view bytes, const ImageHeader& header,
                                      const DecodeOptions& options, RowSink* sink) {
  PIXPOOL_ASSIGN_OR_RETURN(GifLayout layout, ReadGifLayout(bytes));
  if (layout.canvas != Size{header.width, header.height}) {
    return Undecodable(ImageFormat::kGif, "its size is not the header's");
  }
  if (layout.transparent >= 0 && options.background) {
    layout.palette[static_cast<size_t>(layout.transparent)] = *options.background;
  }
  Image image(header.width, header.height);
  if (layout.frame != Region{0, 0, header.width, header.height}) {
    const Color& around = layout.palette[static_cast<size_t>(std::max(layout.transparent, 0))];
    for (int y = 0; y < header.height; ++y) FillRow(header.width, around, image.row(y));
  }
  int64_t transparent = 0;
  PIXPOOL_RETURN_IF_ERROR(DecodeFrame(bytes, layout, &image, &transparent));
  DecodeNotes notes;
  if (layout.transparent >= 0 && !options.background) {
    // The frame may be smaller than the canvas, and all around it is transparent.
    const auto area = [](int64_t width, int64_t height) { return width * height; };
    const int64_t all = area(header.width, header.height);
    const int64_t around = all - area(layout.frame.width, layout.frame.height);
    HiddenColors hidden;
    hidden.LookAt(layout.palette[static_cast<size_t>(layout.transparent)], transparent + around,
                  all);
    notes.has_hidden_colors = hidden.matter();
  }
  sink->TakeAll(std::move(image));
  return notes;
}

}  // namespace

const Codec kGifCodec = {.name = "gif",
                         .title = "GIF",
                         .wanted = "a GIF",
                         .matches = IsGif,
                         .read_header = ReadGifHeader,
                         .decode = DecodeGif};

}  // namespace pixpool
