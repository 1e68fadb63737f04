#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "server/base/ticker.h"
#include "server/net/descriptor.h"
#include "server/net/probe_wire.h"
#include "server/net/socket_address.h"

namespace pixpool {

// Asks the process's own gRPC port for its health, every other second, over a connection that is
// new each time: the way of every client, from the backlog to the answer. On a thread of its own.
// Thread-safe. The destructor ends what is under way, and joins.
class PortWatch {
 public:
  struct Options {
    SocketAddress target;  // a wildcard stands for this host
    // Told where the next connection comes from, 0 when it is over.
    std::function<void(int port)> announce;
    // Makes what the next connection is spoken by.
    std::function<std::unique_ptr<ProbeWire>()> wire = [] { return std::make_unique<ProbeWire>(); };
    std::chrono::milliseconds pause{2'000};
    std::chrono::milliseconds silence{10'000};  // that is too long
  };
  explicit PortWatch(Options options);
  ~PortWatch();

  // Not OK once the port was asked and gave no answer for as long as `silence`, until it gives
  // one. What it answers does not matter, nor that it takes its time. Time in which the process
  // did not run is not counted.
  absl::Status Check() const;

 private:
  void Look();
  bool Ask();
  bool Send(const Descriptor& socket, std::string_view bytes);
  bool WaitFor(const Descriptor& socket, short events);
  void Silent(std::chrono::milliseconds time) { silent_ms_ += time.count(); }

  const Options options_;
  std::atomic<int64_t> silent_ms_{0};
  std::atomic<bool> stop_{false};
  bool unanswered_ = false;  // of the last time; the ticker's thread alone
  Ticker ticker_;            // last: it uses everything above
};

}  // namespace pixpool
