#include "client/cpp/token_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace pixpool::client::internal {
namespace {

constexpr size_t kMostBytes = 1 << 20;

}  // namespace

absl::StatusOr<std::string> ReadText(const std::string& path) {
  const auto failed = [] {
    return absl::InvalidArgumentError(absl::StrCat("cannot be read: ", std::strerror(errno)));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                             &std::fclose);
  if (file == nullptr) return failed();
  std::string text(kMostBytes + 1, '\0');
  errno = 0;
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return failed();
  if (text.size() > kMostBytes) return absl::InvalidArgumentError("is larger than 1 MiB");
  return text;
}

absl::StatusOr<std::unique_ptr<TokenFile>> TokenFile::Open(const std::string& path) {
  std::unique_ptr<TokenFile> file(new TokenFile(path));
  absl::MutexLock lock(&file->mu_);
  if (absl::Status status = file->Read(); !status.ok()) return status;
  return file;
}

std::string TokenFile::Get() {
  absl::MutexLock lock(&mu_);
  struct stat info = {};
  const bool there = stat(path_.c_str(), &info) == 0;
  // What was a pipe has been read.
  if (there && S_ISREG(info.st_mode)) {
    const Stamp stamp(info.st_mtim.tv_sec, info.st_mtim.tv_nsec, info.st_ino, info.st_size);
    if (stamp != stamp_ && Read().ok()) stamp_ = stamp;
  }
  return token_;
}

absl::Status TokenFile::Read() {
  const auto wrong = [this](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("token_file ", path_, ": ", why));
  };
  absl::StatusOr<std::string> text = ReadText(path_);
  if (!text.ok()) return wrong(text.status().message());
  const absl::string_view token = absl::StripAsciiWhitespace(*text);
  if (token.empty() || !std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return wrong("must hold one token, printable ASCII without spaces");
  }
  token_ = std::string(token);
  return absl::OkStatus();
}

}  // namespace pixpool::client::internal
