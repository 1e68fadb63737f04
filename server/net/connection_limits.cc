#include "server/net/connection_limits.h"

#include <algorithm>

namespace pixpool {

ConnectionLimits::Room ConnectionLimits::RoomFor(PeerKey peer) const {
  if (open_ >= numbers_.total) return Room::kFull;
  if (peer == kUnixPeer) return Room::kYes;
  const auto found = addresses_.find(peer);
  if (found == addresses_.end() || found->second.open < numbers_.per_address) return Room::kYes;
  return Room::kAddressFull;
}

void ConnectionLimits::Opened(PeerKey peer) {
  ++open_;
  // An address that is new has all of its burst, whatever the clock says.
  const auto [entry, is_new] = addresses_.try_emplace(peer, Address{.tokens = Burst()});
  ++entry->second.open;
}

void ConnectionLimits::Closed(PeerKey peer) {
  --open_;
  --addresses_.find(peer)->second.open;
}

double ConnectionLimits::Refilled(const Address& address, TimePoint now) const {
  return std::min(Burst(), address.tokens + ToSeconds(now - address.filled) * numbers_.rate);
}

bool ConnectionLimits::MayBegin(PeerKey peer, TimePoint now) {
  if (peer == kUnixPeer) return true;
  Address& address = addresses_.find(peer)->second;
  address.tokens = Refilled(address, now);
  address.filled = now;
  if (address.tokens < 1) return false;
  address.tokens -= 1;
  return true;
}

void ConnectionLimits::ForgetIdle(TimePoint now) {
  std::erase_if(addresses_, [&](const auto& entry) {
    return entry.second.open == 0 && Refilled(entry.second, now) >= Burst();
  });
}

}  // namespace pixpool
