// Sends requests and hands over what came of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/bench/answer.h"
#include "client/bench/workload.h"
#include "client/cpp/entry.h"
#include "client/cpp/headers.h"

namespace pixpool::bench {

// Nanoseconds of a clock that only goes forward.
int64_t NowNs();

// One request of a run.
struct Ticket {
  int64_t intended_ns = 0;  // when it was to be sent
  int64_t sent_ns = 0;      // when it was, for the first time
  size_t first_picture = 0;
  int attempts = 0;
};

struct TransportOptions {
  std::string target;
  int connections = 1;
  absl::Duration timeout = absl::Seconds(10);  // of one request, from its first attempt on
  bool retry = false;                          // what was shed, as the client library does
  client::Headers headers;                     // of every call
  // How connections come in; null: in plain text.
  std::shared_ptr<const client::internal::Entry> entry;
};

// Requests of one kind over one or more connections.
//
// Send is thread-safe and does not wait for the answer. `done` runs once for each request, on a
// thread of this object, where it may send the next one but must not block. The destructor must
// not run before `done` has run for every request; Cancel hastens that.
class Transport {
 public:
  // The answer counts where the status is OK.
  using Done = std::function<void(const Ticket&, const absl::Status&, const Answer&)>;

  virtual ~Transport() = default;
  virtual void Send(Ticket ticket) = 0;
  virtual void Cancel() = 0;
};

// `workload` and everything of `done` must outlive the transport.
std::unique_ptr<Transport> NewUnaryTransport(const TransportOptions& options,
                                             const Workload& workload, Transport::Done done);
// One stream per connection. A stream that breaks is opened anew; what it had not answered is sent
// again where the connection was lost, and failed else.
std::unique_ptr<Transport> NewStreamTransport(const TransportOptions& options,
                                              const Workload& workload, Transport::Done done);

}  // namespace pixpool::bench
