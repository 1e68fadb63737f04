// A server that does nothing, to measure the load tester itself.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/bench/workload.h"

namespace pixpool::bench {

// Answers each request of a workload at once with the same response, of the size of a real one (a
// vector of 1,280 values per picture), without looking at the request. In this process, on a free
// loopback port, with gRPC's own threads: it takes a part of the machine, as a real server on the
// same machine does, so what a run against it gives is a lower bound of what the load tester can
// do.
class NullServer {
 public:
  // UNAVAILABLE where no port can be had.
  static absl::StatusOr<std::unique_ptr<NullServer>> Start(const Workload& workload);
  virtual ~NullServer() = default;

  virtual std::string target() const = 0;
};

}  // namespace pixpool::bench
