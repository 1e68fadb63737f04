#include "server/backbone/kept_file.h"

#include <fcntl.h>
#include <sys/mman.h>
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
  bool read = fstat(file_, &first_) == 0;
  if (read && size() > 0) {
    void* const mapped = mmap(nullptr, size(), PROT_READ, MAP_SHARED, file_, 0);
    read = mapped != MAP_FAILED;
    if (read) data_ = static_cast<char*>(mapped);
  }
  if (read) return;
  const int cause = errno;
  close(file_);
  errno = cause;
  Fail(path, "read");
}

KeptFile::~KeptFile() {
  if (data_ != nullptr) munmap(data_, size());
  close(file_);
}

void KeptFile::Check() const {
  struct stat now {};
  if (fstat(file_, &now) != 0) Fail(path_, "read");
  const bool same = now.st_size == first_.st_size && now.st_mtim.tv_sec == first_.st_mtim.tv_sec &&
                    now.st_mtim.tv_nsec == first_.st_mtim.tv_nsec;
  if (same) return;
  throw std::runtime_error(Concat(path_, " has been written over since the model was loaded; put ",
                                  "other files in its place by renaming, and have them loaded"));
}

}  // namespace pixpool
