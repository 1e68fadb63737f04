#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/base/ticker.h"
#include "server/net/descriptor.h"
#include "server/net/probe_wire.h"
#include "server/net/socket_address.h"

namespace pixpool {

// Asks the process's own gRPC port for its health, every other second and at each place where it
// listens, over a connection that is new each time: the way of every client, from the backlog to
// the answer. On a thread of its own. Thread-safe. The destructor ends what is under way, and
// joins.
class PortWatch {
 public:
  struct Target {
    SocketAddress address;  // a wildcard stands for this host
    std::string name;       // in what Check says
    // Makes what the next connection is spoken by.
    std::function<std::unique_ptr<ProbeWire>()> wire = [] { return std::make_unique<ProbeWire>(); };
  };
  struct Options {
    std::vector<Target> targets;
    // Told from which port the next connection comes, 0 when it is over or comes from none.
    std::function<void(int port)> announce;
    std::chrono::milliseconds pause{2'000};
    std::chrono::milliseconds silence{10'000};  // that is too long
  };
  explicit PortWatch(Options options);
  ~PortWatch();

  // Not OK once one of the targets was asked and gave no answer for as long as `silence`, until it
  // gives one. What it answers does not matter, nor that it takes its time. Time in which the
  // process did not run is not counted.
  absl::Status Check() const;

 private:
  // A target, and what is known of it.
  struct Asked {
    explicit Asked(const Target& t) : target(t) {}
    void Silent(std::chrono::milliseconds time) { silent_ms += time.count(); }

    const Target& target;
    std::atomic<int64_t> silent_ms{0};
    bool unanswered = false;  // of the last time; the ticker's thread alone
  };

  void Look();
  bool Ask(Asked* asked);
  bool Connect(const Descriptor& socket, const SocketAddress& address);
  bool WaitFor(const Descriptor& socket, short events, Asked* asked);

  const Options options_;
  std::deque<Asked> asked_;
  std::atomic<bool> stop_{false};
  Ticker ticker_;  // last: it uses everything above
};

}  // namespace pixpool
