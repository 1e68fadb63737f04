#include "client/cpp/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace pixpool::client {
namespace {

absl::Status CheckKind(const struct stat& info, const std::string& path) {
  if (S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a directory, not a picture"));
  }
  if (const char* kind = SpecialKind(info.st_mode); kind != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a ", kind, ", not a picture"));
  }
  return absl::OkStatus();
}

}  // namespace

const char* SpecialKind(unsigned mode) {
  if (S_ISFIFO(mode)) return "FIFO";
  if (S_ISSOCK(mode)) return "socket";
  return S_ISCHR(mode) || S_ISBLK(mode) ? "device" : nullptr;
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t most) {
  const auto failed = [&path] { return absl::ErrnoToStatus(errno, "cannot open " + path); };
  struct stat info {};
  // Before opening, since opening a device may already do something.
  if (stat(path.c_str(), &info) != 0) return failed();
  if (absl::Status s = CheckKind(info, path); !s.ok()) return s;
  // A FIFO may have taken the file's place by now.
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return failed();
  const auto closing = absl::MakeCleanup([fd] { close(fd); });
  if (fstat(fd, &info) != 0) return failed();
  if (absl::Status s = CheckKind(info, path); !s.ok()) return s;

  // One byte more than it says, so that the end is met without another step; files of the kernel
  // say 0 and have more.
  constexpr size_t kLeastStep = 4096;
  const size_t whole = static_cast<size_t>(std::max<off_t>(info.st_size, 0)) + 1;
  std::string bytes;
  size_t size = 0;
  while (size < most) {
    const size_t step = std::max(whole > size ? whole - size : 0, kLeastStep);
    bytes.resize(size + std::min(step, most - size));
    const ssize_t got = read(fd, bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, "cannot read " + path);
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace pixpool::client
