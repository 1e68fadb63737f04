// The file of a token. Internal: not part of the installed API.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace pixpool::client::internal {

// A file as it is, of 1 MiB at most; one that is a pipe, too. The status has only the cause.
absl::StatusOr<std::string> ReadText(const std::string& path);

// The token in a file, which is read again when it changes: whoever issues tokens replaces it.
// Thread-safe.
class TokenFile {
 public:
  // INVALID_ARGUMENT where there is none.
  static absl::StatusOr<std::unique_ptr<TokenFile>> Open(const std::string& path);

  // Of a file that cannot be read any more, what it held.
  std::string Get();

 private:
  using Stamp = std::tuple<int64_t, int64_t, ino_t, off_t>;

  explicit TokenFile(std::string path) : path_(std::move(path)) {}
  absl::Status Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string path_;
  absl::Mutex mu_;
  Stamp stamp_ ABSL_GUARDED_BY(mu_) = {};
  std::string token_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool::client::internal
