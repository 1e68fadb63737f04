// libtiff over bytes in memory, with nothing of its global state: messages go to the handle.
#pragma once

#include <tiffio.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pixpool {

// An open file. The bytes must outlive it. Not copyable, not movable: libtiff holds its address.
class TiffFile {
 public:
  // Reads the first directory. `most_memory`: bytes that libtiff may take in one piece.
  TiffFile(std::string_view bytes, int64_t most_memory);
  ~TiffFile();
  TiffFile(const TiffFile&) = delete;
  TiffFile& operator=(const TiffFile&) = delete;

  bool ok() const { return tiff_ != nullptr; }
  TIFF* get() const { return tiff_; }

  // What libtiff said last, of an error or else a warning; fit for the end of a sentence. Throws
  // std::bad_alloc where it found no memory.
  std::string Problem() const;
  // Whether compressed data ended early, which libtiff's JPEG decoder takes for a warning and fills
  // the rest with grey.
  bool ended_early() const { return ended_early_; }

  // A field of one number; `otherwise` where the file does not have it.
  template <typename T>
  T Field(uint32_t tag, T otherwise) const {
    T value = otherwise;
    return TIFFGetField(tiff_, tag, &value) == 1 ? value : otherwise;
  }

 private:
  static int OnError(TIFF*, void* self, const char* module, const char* format, va_list values);
  static int OnWarning(TIFF*, void* self, const char* module, const char* format, va_list values);
  static tmsize_t OnRead(thandle_t self, void* out, tmsize_t size);
  static toff_t OnSeek(thandle_t self, toff_t offset, int whence);

  const std::string_view bytes_;
  uint64_t at_ = 0;
  std::string error_;
  bool ended_early_ = false;
  bool no_memory_ = false;
  TIFF* tiff_ = nullptr;
};

}  // namespace pixpool
