#include "server/backbone/kept_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "server/base/text.h"

namespace pixpool {
namespace {

// With the cause that errno has.
[[noreturn]] void Fail(const std::string& path, std::string_view what) {
  throw std::runtime_error(
      Concat(path, " cannot be ", what, ": ", std::generic_category().message(errno)));
}

int Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) Fail(path, "opened");
  return file;
}

}  // namespace

KeptFile::KeptFile(const std::string& path) : path_(path), file_(Open(path)) {
  if (fstat(file_, &first_) == 0) return;
  const int cause = errno;
  close(file_);
  errno = cause;
  Fail(path, "read");
}

KeptFile::~KeptFile() { close(file_); }

void KeptFile::Read(uint8_t* to) const {
  size_t done = 0;
  while (done < size()) {
    const ssize_t n = pread(file_, to + done, size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Fail(path_, "read");
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  struct stat now {};
  if (fstat(file_, &now) != 0) Fail(path_, "read");
  const bool same = done == size() && now.st_size == first_.st_size &&
                    now.st_mtim.tv_sec == first_.st_mtim.tv_sec &&
                    now.st_mtim.tv_nsec == first_.st_mtim.tv_nsec;
  if (same) return;
  throw std::runtime_error(Concat(path_, " has been written over since the model was loaded; put ",
                                  "other files in its place by renaming, and have them loaded"));
}

std::string KeptFile::Text() const {
  std::string text(size(), '\0');
  Read(reinterpret_cast<uint8_t*>(text.data()));
  return text;
}

}  // namespace pixpool
