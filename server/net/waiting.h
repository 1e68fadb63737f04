#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>

#include "server/base/clock.h"
#include "server/net/descriptor.h"
#include "server/net/socket_address.h"

namespace pixpool {

// A connection that was accepted and not yet handed over.
struct WaitingConnection {
  Descriptor socket;
  std::optional<PeerKey> peer;  // nullopt: no limit applies
  TimePoint since;
  size_t door = 0;    // where it came in (acceptor.h)
  bool ripe = false;  // has sent its first bytes; set by MarkRipe
};

// Those that wait, in the order of their arrival, and by descriptor. Not thread-safe.
class WaitingConnections {
 public:
  using Place = std::list<WaitingConnection>::iterator;

  Place Add(WaitingConnection connection);
  WaitingConnection Take(Place place);

  std::optional<Place> Find(int fd);
  // The one that has waited longest: of all, or of those that said nothing yet, of `peer` if given.
  std::optional<Place> Oldest();
  std::optional<Place> OldestSilent(std::optional<PeerKey> peer);

  void MarkRipe(Place place);
  // How many are ripe, in all and of `peer`.
  int ripe() const { return ripe_; }
  bool HasRipe(PeerKey peer) const { return ripe_by_peer_.contains(peer); }

  std::list<WaitingConnection>& list() { return list_; }

 private:
  int ripe_ = 0;
  std::map<PeerKey, int> ripe_by_peer_;  // no entry for those that have none
  std::list<WaitingConnection> list_;
  std::unordered_map<int, Place> by_descriptor_;
};

// What a connection must begin with.
enum class Protocol {
  kHttp2,  // the preface of HTTP/2 (RFC 9113, 3.4)
  kTls,    // a record of TLS with a ClientHello (RFC 8446, 5.1 and 4.1.2), all of it
};

// What the first bytes of a connection say.
enum class FirstBytes {
  kMore,    // too few yet
  kGood,    // the protocol's beginning
  kOther,   // another protocol
  kClosed,  // the other end has gone
};

// Looks at them without taking them out.
FirstBytes PeekFirstBytes(int fd, Protocol protocol);

}  // namespace pixpool
