// Memory that the server and a worker share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pixpool {

// A file without a name, mapped by both. Nobody can make it shorter, so that neither can take pages
// from under the other. Owns descriptor and mapping. Not thread-safe: whoever runs the worker has
// it.
class SharedBytes {
 public:
  // The server's side; empty at first. UNAVAILABLE where the kernel has no such files.
  static absl::StatusOr<SharedBytes> Make();
  // The worker's side of a descriptor that it was started with.
  explicit SharedBytes(int fd) : fd_(fd) {}
  ~SharedBytes();
  SharedBytes(SharedBytes&& other) noexcept;
  SharedBytes& operator=(SharedBytes&&) = delete;

  // The server: grows it to at least `size`; addresses change, what it holds stays.
  // RESOURCE_EXHAUSTED.
  absl::Status Grow(size_t size);
  // The worker: maps the file at the size that the server has given it.
  bool Map(size_t size);
  // Gives what lies behind the first `keep` bytes back to the system; it reads as zeros then.
  void GiveBack(size_t keep);

  int fd() const { return fd_; }
  uint8_t* data() { return data_; }
  size_t size() const { return size_; }

 private:
  int fd_;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace pixpool
