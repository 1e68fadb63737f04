// File descriptors: one that is owned, and how many there may be.
#pragma once

#include <utility>

namespace pixpool {

// Owns a descriptor, or none. Moves.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { Close(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Close();

 private:
  int fd_;
};

// Raises the process's limit of descriptors to the most that it may have, and returns it.
int RaiseDescriptorLimit();

// How many of `descriptors` may be connections: what files, the log, the HTTP port and gRPC's own
// need is set aside. 0 where there are too few to serve at all.
int ConnectionsWithin(int descriptors);

// The fewest descriptors that a server starts with.
inline constexpr int kFewestDescriptors = 128;

}  // namespace pixpool
