#include "server/image/png_chunks.h"

#include <zlib.h>

#include <algorithm>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/bytes.h"
#include "server/image/codec.h"

namespace pixpool {
namespace {

// What Pillow reads of pixels at a time.
constexpr size_t kBlock = 65536;
constexpr size_t kChecksumSize = 4;
constexpr size_t kMaxPalette = 256 * 3;

enum ColorType { kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6 };

// Letters, digits and the underscore.
bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool IsKnown(int depth, int color) {
  switch (color) {
    case kGrey:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    case kPalette:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8;
    case kRgb:
    case kGreyAlpha:
    case kRgba:
      return depth == 8 || depth == 16;
    default:
      return false;
  }
}

absl::Status Broken(std::string_view detail) { return Undecodable(ImageFormat::kPng, detail); }
absl::Status CutOff(std::string_view detail) { return Truncated(ImageFormat::kPng, detail); }
absl::Status TooShort(std::string_view type) {
  return Broken(Concat("its ", type, " is too short"));
}

// The least that Pillow wants of a chunk that it looks into and that has no bearing on the pixels.
size_t LeastSize(std::string_view type) {
  if (type == "gAMA") return 4;
  if (type == "cHRM") return 32;
  if (type == "sRGB") return 1;
  if (type == "pHYs") return 9;
  if (type == "acTL") return 8;
  return 0;
}

// Whether a compressed text or profile is of the only method that there is. Both have a name in
// front; a profile without one has its method in its first byte, as far as Pillow is concerned.
bool KnownMethod(std::string_view type, std::string_view body) {
  const size_t end = body.find('\0');
  if (type == "iCCP") {
    const size_t at = end == std::string_view::npos ? 0 : end + 1;
    return at < body.size() && body[at] == 0;
  }
  return type != "zTXt" || end == std::string_view::npos || end + 1 >= body.size() ||
         body[end + 1] == 0;
}

}  // namespace

int PngStart::pixel_bits() const {
  const int channels = color_type == kRgb         ? 3
                       : color_type == kRgba      ? 4
                       : color_type == kGreyAlpha ? 2
                                                  : 1;
  return channels * bit_depth;
}

PngChunks::Next PngChunks::ReadHeader(Chunk* chunk) {
  at_ = std::min(at_, file_.size());
  const std::string_view header = file_.substr(at_, 8);
  if (header.size() < 4) return Next::kEnd;
  chunk->type = header.substr(4);
  if (chunk->type.size() < 4 || !std::all_of(chunk->type.begin(), chunk->type.end(), IsWord)) {
    return Next::kBroken;
  }
  chunk->length = ReadBig32(header, 0);
  at_ += header.size();
  chunk->body = at_;
  return Next::kChunk;
}

absl::Status PngChunks::Skip(const Chunk& chunk) {
  if (chunk.length > file_.size() - chunk.body) {
    return CutOff(Concat("it ends within a chunk (", chunk.type, ")"));
  }
  at_ = chunk.body + chunk.length;
  return absl::OkStatus();
}

std::string_view PngChunks::BodyOf(const Chunk& chunk) const {
  return file_.substr(chunk.body, chunk.length);
}

bool PngChunks::ChecksumFails(const Chunk& chunk) const {
  if (file_.size() - chunk.body < chunk.length + kChecksumSize) return false;  // there is none
  const auto* const begin = reinterpret_cast<const Bytef*>(file_.data() + chunk.body);
  const auto size = static_cast<uInt>(chunk.length + 4);  // the type counts
  return crc32(crc32(0, nullptr, 0), begin - 4, size) !=
         ReadBig32(file_, chunk.body + chunk.length);
}

absl::StatusOr<Size> PngChunks::ReadSize() {
  bool found = false;
  bool cut = true;
  Chunk chunk;
  while (true) {
    const Next next = ReadHeader(&chunk);
    cut = next == Next::kEnd || (next == Next::kChunk && chunk.length > file_.size() - chunk.body);
    if (next != Next::kChunk || cut || chunk.type == "IEND") break;
    if (found && (chunk.type == "IDAT" || chunk.type == "fdAT")) break;
    at_ = chunk.body + chunk.length + kChecksumSize;
    if (chunk.type != "IHDR") continue;
    PIXPOOL_RETURN_IF_ERROR(TakeHeader(BodyOf(chunk)));
    found = true;
  }
  if (!found) return cut ? CutOff("it ends before its header") : Broken("it has no header");
  PIXPOOL_RETURN_IF_ERROR(CheckSize());
  return start_.size;
}

absl::Status PngChunks::CheckSize() const {
  if (start_.size.width > 0 && start_.size.height > 0) return absl::OkStatus();
  return Broken("its size is zero");
}

absl::Status PngChunks::ReadStart() {
  while (true) {
    Chunk chunk;
    const Next next = ReadHeader(&chunk);
    if (next == Next::kEnd) return CutOff("it ends before its pixels");
    if (next == Next::kBroken) return Broken("something in it is no chunk");
    if (chunk.type == "IEND") return Broken("it has no pixels");
    if (chunk.type == "fdAT") PIXPOOL_RETURN_IF_ERROR(TakeFrameNumber(chunk));
    if (chunk.type == "fdAT" || (chunk.type == "IDAT" && has_mode_)) {
      pixels_ = chunk;
      left_ = chunk.body + chunk.length - at_;
      break;
    }
    PIXPOOL_RETURN_IF_ERROR(Skip(chunk));
    PIXPOOL_RETURN_IF_ERROR(Take(chunk));
    if (file_.size() - at_ < kChecksumSize) return CutOff("it ends before its pixels");
    if (ChecksumFails(chunk)) {
      return Broken(Concat("the checksum of its ", chunk.type, " does not match"));
    }
    at_ += kChecksumSize;
  }
  if (!has_mode_) return Broken("its header is missing, or of no known kind");
  PIXPOOL_RETURN_IF_ERROR(CheckSize());
  start_.frame = frame_.value_or(Region{0, 0, start_.size.width, start_.size.height});
  if (start_.frame.width < 1 || start_.frame.height < 1) return Broken("its first frame is empty");
  if (start_.has_palette()) {
    if (start_.palette.size() >= kMaxPalette + 3) return Broken("its palette is too long");
    if (start_.palette.size() < 3) damages_.Add(DamageKind::kHeader, "it has no palette");
  }
  const uint32_t default_image = frames_.has_value() && !frame_.has_value() ? 1 : 0;
  animated_ = frames_.value_or(1) + default_image > 1;
  return absl::OkStatus();
}

void PngChunks::NoteChecksum(const Chunk& chunk) {
  if (ChecksumFails(chunk)) damages_.Add(DamageKind::kChecksum, chunk.type);
}

absl::StatusOr<std::string_view> PngChunks::NextBlock() {
  while (left_ == 0) {
    NoteChecksum(pixels_);
    at_ = pixels_.body + pixels_.length + kChecksumSize;
    const Next next = ReadHeader(&pixels_);
    if (next == Next::kEnd) return CutOff("it ends before its last row");
    if (next == Next::kBroken) return Broken("something in it is no chunk");
    if (pixels_.type == "fdAT") {
      PIXPOOL_RETURN_IF_ERROR(TakeFrameNumber(pixels_));
    } else if (pixels_.type != "IDAT" && pixels_.type != "DDAT") {
      return Broken("its pixels end before its last row");
    }
    left_ = pixels_.body + pixels_.length - at_;
  }
  const size_t wanted = std::min(kBlock, left_);
  const std::string_view block = file_.substr(at_, wanted);
  if (block.empty()) return CutOff("it ends before its last row");
  at_ += block.size();
  left_ -= wanted;
  return block;
}

absl::Status PngChunks::ReadEnd() {
  Chunk chunk = pixels_;
  while (true) {
    NoteChecksum(chunk);
    if (chunk.type == "IEND") return absl::OkStatus();
    at_ = chunk.body + chunk.length + kChecksumSize;
    if (ReadHeader(&chunk) != Next::kChunk) {
      damages_.Add(DamageKind::kNoEnd, "");
      return absl::OkStatus();
    }
    if (chunk.type == "IEND") continue;
    if (chunk.type == "fcTL" && animated_) return absl::OkStatus();  // the next frame
    if (chunk.type == "fdAT") PIXPOOL_RETURN_IF_ERROR(TakeFrameNumber(chunk));
    PIXPOOL_RETURN_IF_ERROR(Skip(chunk));
    if (chunk.type != "fdAT") PIXPOOL_RETURN_IF_ERROR(Take(chunk));
  }
}

absl::Status PngChunks::Take(const Chunk& chunk) {
  const std::string_view body = BodyOf(chunk);
  if (body.size() < LeastSize(chunk.type)) return TooShort(chunk.type);
  if (!KnownMethod(chunk.type, body)) {
    return Broken(Concat("its ", chunk.type, " is compressed by an unknown method"));
  }
  if (chunk.type == "IHDR") return TakeHeader(body);
  if (chunk.type == "tRNS") return TakeTransparency(body);
  if (chunk.type == "fcTL") return TakeFrameControl(body);
  if (chunk.type == "acTL") TakeAnimation(body);
  if (chunk.type == "PLTE" && start_.has_palette()) start_.palette = body;
  return absl::OkStatus();
}

absl::Status PngChunks::TakeHeader(std::string_view body) {
  if (body.size() < 13) return TooShort("IHDR");
  const uint32_t width = ReadBig32(body, 0);
  const uint32_t height = ReadBig32(body, 4);
  if (width > INT32_MAX || height > INT32_MAX) return Broken("its size is out of range");
  start_.size = {static_cast<int>(width), static_cast<int>(height)};
  if (IsKnown(body[8], body[9])) {
    start_.bit_depth = body[8];
    start_.color_type = body[9];
    has_mode_ = true;
  }
  if (body[12] != 0) start_.interlaced = true;
  return body[11] == 0 ? absl::OkStatus() : Broken("its filter method is unknown");
}

absl::Status PngChunks::TakeTransparency(std::string_view body) {
  if (!has_mode_) return absl::OkStatus();
  const int color = start_.color_type;
  const size_t least = color == kRgb ? 6 : color == kGrey ? 2 : 0;
  if (body.size() < least) return TooShort("tRNS");
  if (color == kPalette) start_.transparency = body.substr(0, 256);
  if (color == kRgb || color == kGrey) start_.transparency = body.substr(0, least);
  return absl::OkStatus();
}

void PngChunks::TakeAnimation(std::string_view body) {
  constexpr uint32_t kMaxFrames = 0x80000000;
  const uint32_t frames = ReadBig32(body, 0);
  if (frames_.has_value()) {
    frames_.reset();  // which of the two is right?
  } else if (frames > 0 && frames <= kMaxFrames) {
    frames_ = frames;
  }
}

absl::Status PngChunks::TakeFrameControl(std::string_view body) {
  if (body.size() < 26) return TooShort("fcTL");
  const uint32_t sequence = ReadBig32(body, 0);
  if (sequence != (sequence_.has_value() ? *sequence_ + uint64_t{1} : 0)) {
    return Broken("its frames are out of order");
  }
  sequence_ = sequence;
  const uint64_t width = ReadBig32(body, 4);
  const uint64_t height = ReadBig32(body, 8);
  const uint64_t left = ReadBig32(body, 12);
  const uint64_t top = ReadBig32(body, 16);
  if (left + width > static_cast<uint64_t>(start_.size.width) ||
      top + height > static_cast<uint64_t>(start_.size.height)) {
    return Broken("a frame reaches beyond the picture");
  }
  frame_ = Region{static_cast<int>(left), static_cast<int>(top), static_cast<int>(width),
                  static_cast<int>(height)};
  return absl::OkStatus();
}

absl::Status PngChunks::TakeFrameNumber(const Chunk& chunk) {
  if (chunk.length < 4) return TooShort("fdAT");
  if (file_.size() - chunk.body < 4) return CutOff("it ends within a chunk (fdAT)");
  const uint32_t sequence = ReadBig32(file_, chunk.body);
  if (!sequence_.has_value() || sequence != *sequence_ + uint64_t{1}) {
    return Broken("its frames are out of order");
  }
  sequence_ = sequence;
  at_ = chunk.body + 4;
  return absl::OkStatus();
}

}  // namespace pixpool
