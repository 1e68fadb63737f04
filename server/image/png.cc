// PNG through libpng, which gets a file of our own with the pixels of the one that is read: which
// files are taken is decided by PngChunks, as Pillow does. libpng reports errors with longjmp, so
// the functions that call setjmp keep nothing with a destructor: everything lives in a PngReader,
// which their caller owns.
#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/alpha.h"
#include "server/image/codec.h"
#include "server/image/metadata.h"
#include "server/image/palette.h"
#include "server/image/png_chunks.h"
#include "server/image/png_rows.h"
#include "server/image/row_block.h"

namespace pixpool {
namespace {

constexpr std::string_view kMagic("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kBlock = 65536;                        // of PngChunks
constexpr std::string_view kNoChecksum("\0\0\0\0", 4);  // libpng is told to look at none

// One decode. Not copyable, not movable: libpng holds its address.
struct PngReader {
  explicit PngReader(PngChunks* chunks);
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  png_structp png;
  png_infop info = nullptr;
  // What libpng reads: a file of our own that has no more than the pixels and what they need, so
  // that nothing but chunks decides what is taken.
  PngChunks* chunks;
  std::string head;
  char block_header[8];
  std::array<std::string_view, 3> pieces;  // what is still to be read, in turn

  absl::Status status;  // why there are no more pieces
  char error[120] = "";
  bool out_of_memory = false;
  // What becomes of alpha, where there is any: over this colour, or dropped where it is null.
  const std::array<uint8_t, 3>* background = nullptr;
  bool has_alpha = false;
  HiddenColors hidden;
  int passes = 1;
  int rows_read = 0;       // over all passes
  uint8_t* row = nullptr;  // where the next one goes
  bool all_rows = false;
};

void Append32(uint32_t value, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

void AppendChunk(std::string_view type, std::string_view body, std::string* out) {
  Append32(static_cast<uint32_t>(body.size()), out);
  out->append(type).append(body).append(kNoChecksum);
}

// Whether a palette has hidden colours.
bool HidesColors(std::string_view palette, std::string_view shades) {
  const auto* color = reinterpret_cast<const uint8_t*>(palette.data());
  for (size_t i = 0; i < std::min(palette.size() / 3, shades.size()); ++i) {
    if (HiddenColors::IsHidden(color + 3 * i, static_cast<uint8_t>(shades[i]))) return true;
  }
  return false;
}

// All that libpng sees before the pixels. Alpha costs time, and is left out where nothing comes of
// it.
std::string MakeHead(const PngStart& start, bool over_background) {
  std::string head(kMagic);
  std::string header;
  Append32(static_cast<uint32_t>(start.frame.width), &header);
  Append32(static_cast<uint32_t>(start.frame.height), &header);
  header.push_back(static_cast<char>(start.bit_depth));
  header.push_back(static_cast<char>(start.color_type));
  header.append(2, '\0');
  header.push_back(start.interlaced ? 1 : 0);
  AppendChunk("IHDR", header, &head);
  size_t transparent = start.transparency.size();
  if (start.has_palette()) {
    // Colours that the file does not name are black.
    std::string palette(start.palette.substr(0, start.palette.size() / 3 * 3));
    palette.resize(size_t{3} << start.bit_depth, '\0');
    AppendChunk("PLTE", palette, &head);
    transparent = std::min(transparent, size_t{1} << start.bit_depth);
    if (!over_background && !HidesColors(palette, start.transparency)) transparent = 0;
  }
  if (transparent > 0) {
    AppendChunk("tRNS", start.transparency.substr(0, transparent), &head);
  }
  return head;
}

// libpng goes on to the end of the compressed pixels when it has stored the last row, before it
// gives that back.
bool AllRowsAreOut(const PngReader& reader) {
  return reader.passes == 1 ? png_get_current_row_number(reader.png) >=
                                  png_get_image_height(reader.png, reader.info)
                            : png_get_current_pass_number(reader.png) >= reader.passes;
}

void OnError(png_structp png, png_const_charp message) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
  reader->all_rows = AllRowsAreOut(*reader);
  std::strncpy(reader->error, message, sizeof(reader->error) - 1);
  png_longjmp(png, 1);
}

void OnWarning(png_structp, png_const_charp) {}

// libpng's own, but for the note: its message for want of memory looks like any other.
png_voidp OnAllocate(png_structp png, png_alloc_size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) static_cast<PngReader*>(png_get_mem_ptr(png))->out_of_memory = true;
  return memory;
}

void OnFree(png_structp, png_voidp memory) { std::free(memory); }

// Puts a block of pixels into `pieces`, as a chunk.
bool NextBlock(PngReader* reader) {
  const absl::StatusOr<std::string_view> block = reader->chunks->NextBlock();
  if (!block.ok()) {
    reader->status = block.status();
    return false;
  }
  const auto size = static_cast<uint32_t>(block->size());
  for (int i = 0; i < 4; ++i) reader->block_header[i] = static_cast<char>(size >> (24 - 8 * i));
  std::memcpy(reader->block_header + 4, "IDAT", 4);
  reader->pieces = {std::string_view(reader->block_header, 8), *block, kNoChecksum};
  return true;
}

void OnRead(png_structp png, png_bytep out, size_t size) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  while (size > 0) {
    size_t piece = 0;
    while (piece < reader->pieces.size() && reader->pieces[piece].empty()) ++piece;
    if (piece == reader->pieces.size()) {
      // What no row needs is not read, so that the chunks stay where the last row ended.
      if (AllRowsAreOut(*reader) || !NextBlock(reader)) png_error(png, "no more data");
      continue;
    }
    std::string_view& from = reader->pieces[piece];
    const size_t step = std::min(size, from.size());
    std::memcpy(out, from.data(), step);
    from.remove_prefix(step);
    out += step;
    size -= step;
  }
}

PngReader::PngReader(PngChunks* chunks)
    : png(png_create_read_struct_2(PNG_LIBPNG_VER_STRING, this, OnError, OnWarning, this,
                                   OnAllocate, OnFree)),
      chunks(chunks) {
  if (png != nullptr) info = png_create_info_struct(png);
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    throw std::bad_alloc();
  }
  png_set_read_fn(png, this, OnRead);
}

// Turns the RGBA pixels of a row, or of what a pass has of one, into RGB, before libpng puts them
// where they belong.
void OnRgba(png_structp png, png_row_infop row, png_bytep pixels) {
  auto* reader = static_cast<PngReader*>(png_get_user_transform_ptr(png));
  const auto width = static_cast<int>(row->width);
  if (reader->background != nullptr) {
    CompositeRow(pixels, width, *reader->background, pixels);
    return;
  }
  if (png_get_current_row_number(png) % HiddenColors::kRowStep == 0) {
    reader->hidden.LookAt(pixels, width);
  }
  DropAlphaRow(pixels, width, pixels);
}

// Reads up to the pixels and sets up the conversion to 8-bit RGB.
bool Start(PngReader* reader, Size size) {
  png_structp png = reader->png;
  png_infop info = reader->info;
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_user_limits(png, static_cast<png_uint_32>(size.width),
                      static_cast<png_uint_32>(size.height));
  png_set_benign_errors(png, 1);
  png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
  // As Pillow calls zlib: whatever window the stream says that it needs, and a block at a time.
  // What is behind the last row of a block is checked, what is behind the block is not.
  png_set_option(png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);
  png_set_compression_buffer_size(png, kBlock);
  png_read_info(png, info);
  png_set_expand(png);
  png_set_strip_16(png);
  png_set_gray_to_rgb(png);
  reader->has_alpha = (png_get_color_type(png, info) & PNG_COLOR_MASK_ALPHA) != 0 ||
                      png_get_valid(png, info, PNG_INFO_tRNS) != 0;
  if (reader->has_alpha) {
    png_set_read_user_transform_fn(png, OnRgba);
    png_set_user_transform_info(png, reader, 8, 3);
  }
  reader->passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (png_get_bit_depth(png, info) != 8 || png_get_channels(png, info) != 3) {
    png_error(png, "it has an unexpected pixel layout");
  }
  return true;
}

// Whether the file has anything of a row in a pass.
bool IsInPass(const PngReader& reader, int y, int pass, int width) {
  return reader.passes == 1 ||
         (PNG_ROW_IN_INTERLACE_PASS(y, pass) && PNG_PASS_COLS(width, pass) > 0);
}

// Reads all rows to `block`, whose rows may be wider than the frame: those are given a colour
// first.
bool ReadRows(PngReader* reader, const Region& frame, int canvas_width, const Color& around,
              RowBlock* block) {
  if (setjmp(png_jmpbuf(reader->png)) != 0) return reader->all_rows;
  for (int y = 0; y < frame.height; ++y) {
    uint8_t* const row = block->Next();
    if (frame.width < canvas_width) FillRow(canvas_width, around, row);
    reader->row = row + size_t{3} * static_cast<size_t>(frame.left);
    png_read_row(reader->png, reader->row, nullptr);
    ++reader->rows_read;
  }
  return true;
}

// Reads all rows of an interlaced picture to where `rows` begins, every `stride` bytes. Each pass
// completes the rows of the one before.
bool ReadPasses(PngReader* reader, Size size, uint8_t* rows, size_t stride) {
  png_structp png = reader->png;
  if (setjmp(png_jmpbuf(png)) != 0) return reader->all_rows;
  for (int pass = 0; pass < reader->passes; ++pass) {
    for (int y = 0; y < size.height; ++y) {
      png_read_row(png, rows + stride * static_cast<size_t>(y), nullptr);
      if (IsInPass(*reader, y, pass, size.width)) ++reader->rows_read;
    }
  }
  return true;
}

bool IsPng(std::string_view bytes) { return bytes.substr(0, kMagic.size()) == kMagic; }

absl::StatusOr<ImageHeader> ReadPngHeader(std::string_view bytes) {
  PngChunks chunks(bytes);
  PIXPOOL_ASSIGN_OR_RETURN(const Size size, chunks.ReadSize());
  // libpng's rows of up to four samples of 16 bits, and zlib.
  constexpr int64_t kZlibBytes = 300'000;
  constexpr int64_t kRowsOfLibpng = 4;
  int64_t held = kZlibBytes + kRowsOfLibpng * 8 * size.width + RowBlock::MostBytes(size.width);
  // The picture.
  if (chunks.start().interlaced || !chunks.has_mode()) {
    held += 3 * BoundedPixels(size.width, size.height);
  }
  return ImageHeader{ImageFormat::kPng, size.width, size.height, ReadPngOrientation(bytes), held};
}

// The colour of pixels that the file has nothing of.
Color ColorOfNothing(const PngStart& start, const DecodeOptions& options, bool has_alpha) {
  Color color = {0, 0, 0};
  if (has_alpha && options.background.has_value()) return *options.background;
  if (start.has_palette() && start.palette.size() >= color.size()) {
    std::memcpy(color.data(), start.palette.data(), color.size());
  }
  return color;
}

// Why there are fewer rows than there should be, and whether that is taken. Where it is, goes on to
// the end of the file.
absl::StatusOr<DamageList> FewerRows(std::string_view bytes, const PngReader& reader) {
  if (reader.out_of_memory) throw std::bad_alloc();
  PngChunks chunks(bytes);
  PIXPOOL_RETURN_IF_ERROR(chunks.ReadStart());
  if (RowsBeforeEnd(&chunks) != reader.rows_read) {
    if (!reader.status.ok()) return reader.status;
    return Undecodable(ImageFormat::kPng, reader.error);
  }
  PIXPOOL_RETURN_IF_ERROR(chunks.ReadEnd());
  DamageList damages = chunks.damages();
  damages.Add(DamageKind::kMissingData, Concat("there are ", reader.rows_read, " rows"));
  return damages;
}

// A picture that is stored as it is shown, from the top.
absl::StatusOr<DamageList> DecodeInOrder(std::string_view bytes, const PngStart& start,
                                         PngReader* reader, const Color& nothing, RowSink* sink) {
  const Size size = start.size;
  const Region& frame = start.frame;
  RowBlock block({0, 0, size.width, size.height}, size, sink);
  const auto fill_to = [&](int end) {
    while (block.rows() < end) FillRow(size.width, nothing, block.Next());
  };
  fill_to(frame.top);
  DamageList damages;
  if (ReadRows(reader, frame, size.width, nothing, &block)) {
    PIXPOOL_RETURN_IF_ERROR(reader->chunks->ReadEnd());
    damages = reader->chunks->damages();
  } else {
    PIXPOOL_ASSIGN_OR_RETURN(damages, FewerRows(bytes, *reader));
    FillRow(frame.width, nothing, reader->row);  // the one that did not come
  }
  fill_to(size.height);
  block.Finish();
  return damages;
}

absl::StatusOr<DamageList> DecodeInterlaced(std::string_view bytes, const PngStart& start,
                                            PngReader* reader, const Color& nothing,
                                            RowSink* sink) {
  const Region& frame = start.frame;
  Image image(start.size.width, start.size.height);
  // Where the file ends early there are pixels everywhere all the same.
  for (int y = 0; y < image.height(); ++y) FillRow(image.width(), nothing, image.row(y));
  uint8_t* const rows = image.row(frame.top) + size_t{3} * static_cast<size_t>(frame.left);
  DamageList damages;
  if (ReadPasses(reader, {frame.width, frame.height}, rows, image.stride())) {
    PIXPOOL_RETURN_IF_ERROR(reader->chunks->ReadEnd());
    damages = reader->chunks->damages();
  } else {
    PIXPOOL_ASSIGN_OR_RETURN(damages, FewerRows(bytes, *reader));
  }
  sink->TakeAll(std::move(image));
  return damages;
}

absl::StatusOr<DecodeNotes> DecodePng(std::string_view bytes, const ImageHeader& header,
                                      const DecodeOptions& options, RowSink* sink) {
  PngChunks chunks(bytes);
  PIXPOOL_RETURN_IF_ERROR(chunks.ReadStart());
  const PngStart start = chunks.start();  // chunks behind the pixels change nothing
  if (start.size != Size{header.width, header.height}) {
    return Undecodable(ImageFormat::kPng, "its size is not the header's");
  }
  PngReader reader(&chunks);
  reader.head = MakeHead(start, options.background.has_value());
  reader.pieces = {reader.head};
  if (options.background) reader.background = &*options.background;
  const Size size = {start.frame.width, start.frame.height};
  if (!Start(&reader, size)) return FewerRows(bytes, reader).status();
  const Color nothing = ColorOfNothing(start, options, reader.has_alpha);
  PIXPOOL_ASSIGN_OR_RETURN(DamageList damages,
                           reader.passes == 1
                               ? DecodeInOrder(bytes, start, &reader, nothing, sink)
                               : DecodeInterlaced(bytes, start, &reader, nothing, sink));
  return DecodeNotes{.damages = std::move(damages), .has_hidden_colors = reader.hidden.matter()};
}

}  // namespace

const Codec kPngCodec = {.name = "png",
                         .title = "PNG",
                         .wanted = "a PNG",
                         .matches = IsPng,
                         .read_header = ReadPngHeader,
                         .decode = DecodePng};

}  // namespace pixpool
