#include "server/base/named_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"

namespace pixpool {
namespace {

constexpr size_t kMostBytes = 1 << 20;

}  // namespace

absl::StatusOr<std::string> ReadNamedFile(const std::string& path) {
  // A pipe without a writer would block, and one is read only once.
  const int opened = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      opened < 0 ? nullptr : fdopen(opened, "rb"), &std::fclose);
  if (file == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("cannot be opened: ", std::strerror(errno)));
  }
  struct stat about = {};
  if (fstat(opened, &about) == 0 && S_ISFIFO(about.st_mode)) {
    return absl::InvalidArgumentError(
        "is a pipe; it must be a file, which is read again and again");
  }
  std::string text(kMostBytes + 1, '\0');
  errno = 0;
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot be read: ", std::strerror(errno)));
  }
  if (text.size() > kMostBytes) return absl::InvalidArgumentError("is larger than 1 MiB");
  return text;
}

}  // namespace pixpool
