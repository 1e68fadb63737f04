// Sockets of this machine that have a name in the file system.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/net/descriptor.h"
#include "server/net/socket_address.h"

namespace pixpool {

// Owns the file of a socket, or none. The destructor removes it, unless something else stands in
// its place by then. Moves.
class SocketFile {
 public:
  SocketFile() = default;
  SocketFile(std::string path, dev_t device, ino_t inode)
      : path_(std::move(path)), device_(device), inode_(inode) {}
  SocketFile(SocketFile&& other) noexcept { *this = std::move(other); }
  SocketFile& operator=(SocketFile&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(device_, other.device_);
    std::swap(inode_, other.inode_);
    return *this;
  }
  ~SocketFile();

 private:
  std::string path_;  // empty: none
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

struct UnixListener {
  Descriptor socket;
  SocketFile file;
};

// A socket that listens at `path`, whose file has the permissions of `mode` and no more. What an
// ended process has left there is replaced, but no socket that somebody answers at, and no other
// file. Not blocking, closed on exec. The status has the cause alone.
absl::StatusOr<UnixListener> ListenAtPath(const std::string& path, mode_t mode);

// The address of a path, which must not be longer than kMostPathBytes (base/listen_address.h).
SocketAddress UnixAddress(const std::string& path);

// Whether the other end of a connection by such a socket is this process.
bool IsFromThisProcess(const Descriptor& connection);

}  // namespace pixpool
