#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "server/base/clock.h"
#include "server/metrics/metrics.h"
#include "server/net/connection_limits.h"
#include "server/net/listen.h"
#include "server/net/waiting.h"

namespace pixpool {

// Accepts connections on a thread of its own and hands over those that may begin.
//
// A connection waits here until it has sent the first bytes of its protocol and its address may
// begin another one, for ten seconds at most. So one that says nothing costs a descriptor and
// nothing more, and where one too many comes, the silent one that waited longest makes room. What
// finds no room is closed at once: its client then knows, and tries elsewhere or again, where it
// would wait for nothing in the backlog. When even descriptors are short, one held in reserve is
// used to take a connection and close it, so that the backlog never fills up.
//
// Thread-safe. The destructor is Stop.
class Acceptor {
 public:
  // A place where connections come in.
  struct Door {
    Listening listening;
    Protocol protocol = Protocol::kHttp2;
    std::function<void(int fd)> hand_over;  // takes the descriptor; must not block
  };
  struct Options {
    ConnectionLimits::Numbers limits;
    std::function<void(ConnectionRefusal)> refused;  // for each that is not handed over
  };
  virtual ~Acceptor() = default;

  // Closes the listening sockets and what waits, removes sockets' files, and joins. Nothing is
  // handed over afterwards.
  virtual void Stop() = 0;

  // Connections that are open, waiting ones among them; at most a second old.
  virtual int open() const = 0;

  // A connection from this port of this host is taken whatever the limits say; 0 for none. So is
  // one of this process by a Unix socket.
  virtual void ExpectProbe(int from_port) = 0;
};

std::unique_ptr<Acceptor> StartAcceptor(std::vector<Acceptor::Door> doors,
                                        Acceptor::Options options, const Clock* clock);

}  // namespace pixpool
