#include "server/image/tiff_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

namespace pixpool {
namespace {

std::string Formatted(const char* format, va_list values) {
  char text[160];
  std::vsnprintf(text, sizeof(text), format, values);
  return text;
}

}  // namespace

TiffFile::TiffFile(std::string_view bytes, int64_t most_memory) : bytes_(bytes) {
  errno = 0;
  TIFFOpenOptions* const options = TIFFOpenOptionsAlloc();
  if (options == nullptr) throw std::bad_alloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, most_memory);
  TIFFOpenOptionsSetErrorHandlerExtR(options, OnError, this);
  TIFFOpenOptionsSetWarningHandlerExtR(options, OnWarning, this);
  const auto no_write = [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; };
  const auto no_close = [](thandle_t) { return 0; };
  const auto size = [](thandle_t self) -> toff_t {
    return static_cast<TiffFile*>(self)->bytes_.size();
  };
  const auto map = [](thandle_t self, void** base, toff_t* mapped) {
    const std::string_view whole = static_cast<TiffFile*>(self)->bytes_;
    *base = const_cast<char*>(whole.data());  // libtiff only reads from it
    *mapped = whole.size();
    return 1;
  };
  const auto unmap = [](thandle_t, void*, toff_t) {};
  tiff_ = TIFFClientOpenExt("picture", "r", this, OnRead, no_write, OnSeek, no_close, size, map,
                            unmap, options);
  TIFFOpenOptionsFree(options);
}

TiffFile::~TiffFile() {
  if (tiff_ != nullptr) TIFFClose(tiff_);
}

std::string TiffFile::Problem() const {
  if (no_memory_) throw std::bad_alloc();
  return error_.empty() ? "it is damaged" : error_;
}

int TiffFile::OnError(TIFF*, void* self, const char*, const char* format, va_list values) {
  auto* const file = static_cast<TiffFile*>(self);
  // libtiff words it in many ways; malloc has one.
  if (errno == ENOMEM) file->no_memory_ = true;
  file->error_ = Formatted(format, values);
  // It may quote the file's bytes.
  for (char& c : file->error_) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (!file->error_.empty() && file->error_.back() == '.') file->error_.pop_back();
  return 1;
}

int TiffFile::OnWarning(TIFF*, void* self, const char*, const char* format, va_list values) {
  const std::string text = Formatted(format, values);
  if (text.find("Premature end of JPEG file") != std::string::npos) {
    static_cast<TiffFile*>(self)->ended_early_ = true;
  }
  return 1;
}

tmsize_t TiffFile::OnRead(thandle_t self, void* out, tmsize_t size) {
  auto* const file = static_cast<TiffFile*>(self);
  if (file->at_ >= file->bytes_.size() || size <= 0) return 0;
  const size_t count = std::min(file->bytes_.size() - file->at_, static_cast<size_t>(size));
  std::memcpy(out, file->bytes_.data() + file->at_, count);
  file->at_ += count;
  return static_cast<tmsize_t>(count);
}

toff_t TiffFile::OnSeek(thandle_t self, toff_t offset, int whence) {
  auto* const file = static_cast<TiffFile*>(self);
  file->at_ = offset + (whence == SEEK_CUR   ? file->at_
                        : whence == SEEK_END ? file->bytes_.size()
                                             : 0);
  return file->at_;
}

}  // namespace pixpool
