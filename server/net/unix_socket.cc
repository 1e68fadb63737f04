#include "server/net/unix_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr int kTries = 100;  // to have a folder alone
constexpr int kTryMs = 20;

absl::Status Failed() { return absl::UnavailableError(std::strerror(errno)); }

Descriptor NewSocket() {
  return Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

// Has the folder of `path` to itself among those who do the same, so that of two servers which find
// the same dead socket the second does not replace the first. Until it is closed.
absl::StatusOr<Descriptor> LockFolder(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == path.npos ? "." : path.substr(0, slash + 1);
  Descriptor lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid()) return absl::UnavailableError(Concat(folder, ": ", std::strerror(errno)));
  for (int i = 0; flock(lock.get(), LOCK_EX | LOCK_NB) != 0; ++i) {
    if (i == kTries) return absl::UnavailableError(Concat(folder, " is locked by another process"));
    poll(nullptr, 0, kTryMs);
  }
  return lock;
}

// Removes a socket at which nobody answers. OK where the path is free then.
absl::Status RemoveDead(const std::string& path) {
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) return errno == ENOENT ? absl::OkStatus() : Failed();
  if (!S_ISSOCK(status.st_mode)) {
    return absl::UnavailableError("there is a file that is no socket; remove it, or name another");
  }
  const Descriptor client = NewSocket();
  const SocketAddress address = UnixAddress(path);
  const int connected = client.valid() ? connect(client.get(), address.get(), address.size) : -1;
  if (connected != 0 && errno == ENOENT) return absl::OkStatus();
  // EAGAIN: somebody is there and has no room.
  if (connected == 0 || errno == EAGAIN) {
    return absl::UnavailableError("another process answers there");
  }
  if (errno != ECONNREFUSED) return Failed();
  return unlink(path.c_str()) == 0 || errno == ENOENT ? absl::OkStatus() : Failed();
}

}  // namespace

SocketFile::~SocketFile() {
  struct stat status = {};
  if (path_.empty() || lstat(path_.c_str(), &status) != 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) unlink(path_.c_str());
}

absl::StatusOr<UnixListener> ListenAtPath(const std::string& path, mode_t mode) {
  PIXPOOL_ASSIGN_OR_RETURN(const Descriptor lock, LockFolder(path));
  PIXPOOL_RETURN_IF_ERROR(RemoveDead(path));
  Descriptor socket = NewSocket();
  // Before it has a name, so that nobody comes in by a wider one; the umask may narrow it.
  if (!socket.valid() || fchmod(socket.get(), mode) != 0) return Failed();
  const SocketAddress address = UnixAddress(path);
  if (bind(socket.get(), address.get(), address.size) != 0) return Failed();
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) return Failed();
  SocketFile file(path, status.st_dev, status.st_ino);
  if (chmod(path.c_str(), mode) != 0 || listen(socket.get(), SOMAXCONN) != 0) return Failed();
  return UnixListener{std::move(socket), std::move(file)};
}

SocketAddress UnixAddress(const std::string& path) {
  SocketAddress address;
  auto* const unix_address = reinterpret_cast<sockaddr_un*>(&address.storage);
  unix_address->sun_family = AF_UNIX;
  path.copy(unix_address->sun_path, sizeof(unix_address->sun_path) - 1);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

bool IsFromThisProcess(const Descriptor& connection) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         peer.pid == getpid();
}

}  // namespace pixpool
