#include "server/backbone/kept_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// With the cause that errno has.
[[noreturn]] void Fail(const std::string& path, std::string_view what) {
  throw std::runtime_error(
      Concat(path, " cannot be ", what, ": ", std::generic_category().message(errno)));
}

void ReadAll(const std::string& path, int file, char* to, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = read(file, to + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) Fail(path, "read");
    if (n == 0) throw std::runtime_error(Concat(path, " became shorter while it was read"));
    done += static_cast<size_t>(n);
  }
}

}  // namespace

KeptFile::KeptFile(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) Fail(path, "opened");
  const absl::Cleanup close_file = [file] { close(file); };
  struct stat status {};
  if (fstat(file, &status) != 0) Fail(path, "read");
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return;
  // Whole pages: the heap would keep them when the model has gone.
  void* const pages =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  try {
    ReadAll(path, file, static_cast<char*>(pages), size);
  } catch (...) {
    munmap(pages, size);
    throw;
  }
  data_ = static_cast<char*>(pages);
  size_ = size;
}

KeptFile::~KeptFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace pixpool
