#include "server/net/connection_table.h"

#include <sys/stat.h>

#include <utility>

namespace pixpool {
namespace {

// 0 where the descriptor is not an open socket.
ino_t SocketInode(int fd) {
  struct stat status = {};
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

}  // namespace

void ConnectionTable::Add(int fd, std::optional<PeerKey> peer) {
  const auto index = static_cast<size_t>(fd);
  if (index >= connections_.size()) connections_.resize(index + 1);
  Remove(&connections_[index]);
  connections_[index] = {SocketInode(fd), peer};
}

void ConnectionTable::Sweep() {
  for (size_t fd = 0; fd < connections_.size(); ++fd) {
    Connection& connection = connections_[fd];
    if (connection.inode != 0 && SocketInode(static_cast<int>(fd)) != connection.inode) {
      Remove(&connection);
    }
  }
}

void ConnectionTable::Remove(Connection* connection) {
  const Connection over = std::exchange(*connection, Connection{});
  if (over.inode != 0 && over.peer) closed_(*over.peer);
}

}  // namespace pixpool
