#pragma once

#include <map>

#include "server/base/clock.h"
#include "server/net/socket_address.h"

namespace pixpool {

// Counts connections, in all and by address, and says how fast those of an address may begin. Those
// by Unix sockets count in all alone. Not thread-safe: the thread that accepts owns it.
class ConnectionLimits {
 public:
  struct Numbers {
    int total = 1;
    int per_address = 1;
    int rate = 1;  // new ones of an address a second; ten times as many at once
  };
  enum class Room { kYes, kFull, kAddressFull };

  explicit ConnectionLimits(Numbers numbers) : numbers_(numbers) {}

  Room RoomFor(PeerKey peer) const;

  // One more connection of `peer`, and one less.
  void Opened(PeerKey peer);
  void Closed(PeerKey peer);

  // Whether one of `peer` may begin now; if so, it counts as begun.
  bool MayBegin(PeerKey peer, TimePoint now);

  // Drops what is known of addresses that have no connection and began none of late.
  void ForgetIdle(TimePoint now);

  int open() const { return open_; }
  size_t known_addresses() const { return addresses_.size(); }

 private:
  struct Address {
    int open = 0;
    double tokens = 0;
    TimePoint filled;  // when `tokens` was right
  };
  double Refilled(const Address& address, TimePoint now) const;
  double Burst() const { return 10.0 * numbers_.rate; }

  const Numbers numbers_;
  int open_ = 0;
  std::map<PeerKey, Address> addresses_;
};

}  // namespace pixpool
