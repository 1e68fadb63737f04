#include "server/net/waiting.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace pixpool {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A record of TLS: type, version, two bytes of length; of a handshake the type of message follows,
// and its length in three. A ClientHello is one record. OpenSSL takes as much memory as a message
// says that it is long, before it comes.
constexpr size_t kRecordHeader = 5;
constexpr size_t kMessageHeader = 4;
constexpr int kHandshake = 22;
constexpr int kMajorVersion = 3;
constexpr int kClientHello = 1;
constexpr int kMostInRecord = 1 << 14;

FirstBytes LookAtHello(int fd, std::string_view seen) {
  const auto byte = [seen](size_t i) { return int{static_cast<unsigned char>(seen[i])}; };
  const auto differs = [&](size_t i, int wanted) { return i < seen.size() && byte(i) != wanted; };
  if (differs(0, kHandshake) || differs(1, kMajorVersion) || differs(kRecordHeader, kClientHello)) {
    return FirstBytes::kOther;
  }
  if (seen.size() < kRecordHeader + kMessageHeader) return FirstBytes::kMore;
  const int length = byte(3) << 8 | byte(4);
  const int message = byte(6) << 16 | byte(7) << 8 | byte(8);
  if (length > kMostInRecord || message + int{kMessageHeader} > length) return FirstBytes::kOther;
  int readable = 0;
  if (ioctl(fd, FIONREAD, &readable) != 0) return FirstBytes::kClosed;
  return readable >= static_cast<int>(kRecordHeader) + length ? FirstBytes::kGood
                                                              : FirstBytes::kMore;
}

}  // namespace

WaitingConnections::Place WaitingConnections::Add(WaitingConnection connection) {
  const int fd = connection.socket.get();
  const Place place = list_.insert(list_.end(), std::move(connection));
  by_descriptor_[fd] = place;
  return place;
}

WaitingConnection WaitingConnections::Take(Place place) {
  WaitingConnection connection = std::move(*place);
  if (connection.ripe) {
    --ripe_;
    if (connection.peer && --ripe_by_peer_[*connection.peer] == 0) {
      ripe_by_peer_.erase(*connection.peer);
    }
  }
  by_descriptor_.erase(connection.socket.get());
  list_.erase(place);
  return connection;
}

void WaitingConnections::MarkRipe(Place place) {
  place->ripe = true;
  ++ripe_;
  if (place->peer) ++ripe_by_peer_[*place->peer];
}

std::optional<WaitingConnections::Place> WaitingConnections::Find(int fd) {
  const auto found = by_descriptor_.find(fd);
  if (found == by_descriptor_.end()) return std::nullopt;
  return found->second;
}

std::optional<WaitingConnections::Place> WaitingConnections::Oldest() {
  if (list_.empty()) return std::nullopt;
  return list_.begin();
}

std::optional<WaitingConnections::Place> WaitingConnections::OldestSilent(
    std::optional<PeerKey> peer) {
  const Place found = std::find_if(list_.begin(), list_.end(), [&](const WaitingConnection& c) {
    return !c.ripe && c.peer && (!peer || c.peer == peer);
  });
  if (found == list_.end()) return std::nullopt;
  return found;
}

FirstBytes PeekFirstBytes(int fd, Protocol protocol) {
  std::array<char, kPreface.size()> bytes;
  const ssize_t count = recv(fd, bytes.data(), bytes.size(), MSG_PEEK | MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return FirstBytes::kMore;
  if (count <= 0) return FirstBytes::kClosed;
  const std::string_view seen(bytes.data(), static_cast<size_t>(count));
  if (protocol == Protocol::kTls) return LookAtHello(fd, seen);
  if (!kPreface.starts_with(seen)) return FirstBytes::kOther;
  return seen.size() == kPreface.size() ? FirstBytes::kGood : FirstBytes::kMore;
}

}  // namespace pixpool
