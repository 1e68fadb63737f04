// PNG through libpng. libpng reports errors with longjmp, so the functions that call setjmp keep
// nothing with a destructor: everything lives in a PngReader, which their caller owns.
#include <png.h>

#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "server/base/status_macros.h"
#include "server/image/alpha.h"
#include "server/image/codec.h"
#include "server/image/metadata.h"

namespace pixpool {
namespace {

constexpr std::string_view kMagic("\x89PNG\r\n\x1a\n", 8);
constexpr size_t kChunkOverhead = 12;  // length, type, checksum
constexpr size_t kHeaderEnd = 8 + kChunkOverhead + 13;
// Only the palette and tRNS are kept beside the pixels, so this is generous.
constexpr png_alloc_size_t kMaxChunkMemory = 1 << 20;
constexpr int kMaxCachedChunks = 16;

uint32_t Read32(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// One decode. Not copyable, not movable: libpng holds its address.
struct PngReader {
  explicit PngReader(std::string_view bytes);
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  png_structp png;
  png_infop info = nullptr;
  const char* next;
  size_t left;
  char error[120] = "";
  bool out_of_memory = false;
  int channels = 0;  // of the rows that libpng gives: 3, or 4 if alpha is wanted and there
  int passes = 1;
};

void OnError(png_structp png, png_const_charp message) {
  auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
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

void OnRead(png_structp png, png_bytep out, size_t size) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (size > reader->left) png_error(png, "it is truncated");
  std::memcpy(out, reader->next, size);
  reader->next += size;
  reader->left -= size;
}

PngReader::PngReader(std::string_view bytes)
    : png(png_create_read_struct_2(PNG_LIBPNG_VER_STRING, this, OnError, OnWarning, this,
                                   OnAllocate, OnFree)),
      next(bytes.data()),
      left(bytes.size()) {
  if (png != nullptr) info = png_create_info_struct(png);
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    throw std::bad_alloc();
  }
  png_set_read_fn(png, this, OnRead);
}

// Reads up to the pixels and sets up the conversion to 8-bit RGB, or RGBA if `want_alpha` and there
// is alpha.
bool Start(PngReader* reader, png_uint_32 width, png_uint_32 height, bool want_alpha) {
  png_structp png = reader->png;
  png_infop info = reader->info;
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_user_limits(png, width, height);
  png_set_chunk_malloc_max(png, kMaxChunkMemory);
  png_set_chunk_cache_max(png, kMaxCachedChunks);
  // Text, profiles and the like are checked but not unpacked, so none of them can be a
  // decompression bomb; gamma is not applied.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(png, info);
  if (png_get_image_width(png, info) != width || png_get_image_height(png, info) != height) {
    png_error(png, "its size is not the header's");
  }
  png_set_expand(png);
  png_set_strip_16(png);
  png_set_gray_to_rgb(png);
  if (!want_alpha) png_set_strip_alpha(png);
  reader->passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  reader->channels = png_get_channels(png, info);
  const bool fits =
      png_get_bit_depth(png, info) == 8 && reader->channels == (want_alpha ? reader->channels : 3);
  if (!fits || (reader->channels != 3 && reader->channels != 4)) {
    png_error(png, "it has an unexpected pixel layout");
  }
  return true;
}

// Reads all rows and the end of the file. With alpha, rows pass through `scratch`: one row, or for
// an interlaced picture all of them, since each pass completes the rows of the one before.
bool ReadPixels(PngReader* reader, Image* image, uint8_t* scratch,
                const std::array<uint8_t, 3>* background) {
  png_structp png = reader->png;
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  const size_t scratch_stride = reader->passes == 1 ? 0 : static_cast<size_t>(image->width()) * 4;
  for (int pass = 0; pass < reader->passes; ++pass) {
    for (int y = 0; y < image->height(); ++y) {
      if (scratch == nullptr) {
        png_read_row(png, image->row(y), nullptr);
        continue;
      }
      uint8_t* row = scratch + scratch_stride * static_cast<size_t>(y);
      png_read_row(png, row, nullptr);
      if (pass + 1 == reader->passes) {
        CompositeRow(row, image->width(), *background, image->row(y));
      }
    }
  }
  png_read_end(png, nullptr);
  return true;
}

// Why the decoding ended.
absl::Status Failure(const PngReader& reader) {
  if (reader.out_of_memory) throw std::bad_alloc();
  return Undecodable(ImageFormat::kPng, reader.error);
}

bool IsPng(std::string_view bytes) { return bytes.substr(0, kMagic.size()) == kMagic; }

absl::StatusOr<ImageHeader> ReadPngHeader(std::string_view bytes) {
  if (bytes.size() < kHeaderEnd) return Undecodable(ImageFormat::kPng, "the header is cut off");
  if (Read32(bytes, 8) != 13 || bytes.substr(12, 4) != "IHDR") {
    return Undecodable(ImageFormat::kPng, "the header is missing");
  }
  const uint32_t width = Read32(bytes, 16);
  const uint32_t height = Read32(bytes, 20);
  if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX) {
    return Undecodable(ImageFormat::kPng, "its size is out of range");
  }
  return ImageHeader{ImageFormat::kPng, static_cast<int>(width), static_cast<int>(height),
                     ReadPngOrientation(bytes)};
}

absl::StatusOr<Image> DecodePng(std::string_view bytes, const ImageHeader& header,
                                const DecodeOptions& options) {
  PngReader reader(bytes);
  if (!Start(&reader, static_cast<png_uint_32>(header.width),
             static_cast<png_uint_32>(header.height), options.background.has_value())) {
    return Failure(reader);
  }
  Image image(header.width, header.height);
  std::unique_ptr<uint8_t[]> scratch;
  if (reader.channels == 4) {
    const size_t rows = reader.passes == 1 ? 1 : static_cast<size_t>(header.height);
    scratch.reset(new uint8_t[rows * static_cast<size_t>(header.width) * 4]);
  }
  const std::array<uint8_t, 3>* background =
      options.background.has_value() ? &*options.background : nullptr;
  if (!ReadPixels(&reader, &image, scratch.get(), background)) {
    return Failure(reader);
  }
  return image;
}

}  // namespace

const Codec kPngCodec = {.name = "png",
                         .title = "PNG",
                         .wanted = "a PNG",
                         .matches = IsPng,
                         .read_header = ReadPngHeader,
                         .decode = DecodePng};

}  // namespace pixpool
