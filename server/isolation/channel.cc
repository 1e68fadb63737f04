#include "server/isolation/channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace pixpool {

bool SendMessage(int fd, std::string_view message) {
  ssize_t sent = 0;
  do {
    sent = send(fd, message.data(), message.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(message.size());
}

Received ReceiveMessage(int fd, std::string* message) {
  message->resize(kMaxMessage);
  ssize_t size = 0;
  do {
    size = read(fd, message->data(), message->size());
  } while (size < 0 && errno == EINTR);
  const bool waits = size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
  message->resize(size > 0 ? static_cast<size_t>(size) : 0);
  if (waits) return Received::kNothingYet;
  return size > 0 ? Received::kMessage : Received::kClosed;
}

}  // namespace pixpool
