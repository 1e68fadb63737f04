#include "server/isolation/shared_bytes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "server/base/text.h"

namespace pixpool {
namespace {

// Grows by whole steps, so that pictures of about one size grow it once.
constexpr size_t kStep = 1 << 20;

uint8_t* MapShared(int fd, size_t size) {
  void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return at == MAP_FAILED ? nullptr : static_cast<uint8_t*>(at);
}

}  // namespace

absl::StatusOr<SharedBytes> SharedBytes::Make() {
  SharedBytes made(memfd_create("pixpool-decode", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (made.fd_ < 0) {
    return absl::UnavailableError(Concat("memfd_create: ", std::strerror(errno)));
  }
  if (fcntl(made.fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    return absl::UnavailableError(Concat("F_ADD_SEALS: ", std::strerror(errno)));
  }
  return made;
}

SharedBytes::~SharedBytes() {
  if (data_ != nullptr) munmap(data_, size_);
  if (fd_ >= 0) close(fd_);
}

SharedBytes::SharedBytes(SharedBytes&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

absl::Status SharedBytes::Grow(size_t size) {
  if (size <= size_) return absl::OkStatus();
  const size_t whole = (size + kStep - 1) / kStep * kStep;
  if (ftruncate(fd_, static_cast<off_t>(whole)) == 0 && Map(whole)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      Concat("shared memory of ", whole, " bytes: ", std::strerror(errno)));
}

bool SharedBytes::Map(size_t size) {
  if (size == size_) return true;
  uint8_t* const data = MapShared(fd_, size);
  if (data == nullptr) return false;
  if (data_ != nullptr) munmap(data_, size_);
  data_ = data;
  size_ = size;
  return true;
}

void SharedBytes::GiveBack(size_t keep) {
  if (size_ <= keep) return;
  // Where it fails the memory stays, and nothing is wrong.
  fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(keep),
            static_cast<off_t>(size_ - keep));
}

}  // namespace pixpool
