#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/impl/service_type.h"
#include "server/metrics/metrics.h"
#include "server/rpc/options.h"
#include "server/tls/tls_store.h"

namespace pixpool {

// The gRPC port: the given services, grpc.health.v1.Health and reflection. Everything is
// NOT_SERVING until told otherwise. Thread-safe.
class GrpcServer {
 public:
  virtual ~GrpcServer() = default;

  // Where it listens, in the form of --listen, with the port taken where 0 was asked for.
  virtual const std::vector<std::string>& addresses() const = 0;

  // What TLS is served with; null: it is plain text.
  virtual const TlsStore* tls() const = 0;

  // Connections that are open, and how many may be.
  virtual int connections() const = 0;
  virtual int connection_capacity() const = 0;

  // Not OK while the port does not answer (net/port_watch.h).
  virtual absl::Status Answers() const = 0;

  // How many bytes of messages gRPC may hold that have not come in whole, or that nobody has read
  // yet: at least the largest message. Beyond that it ends calls with RESOURCE_EXHAUSTED. Before
  // this is called nothing bounds them.
  virtual void BoundReceived(int64_t bytes) = 0;

  // Health of "", of the service ("pixpool.v1.FeatureService") or of a model by its name.
  virtual void SetServing(const std::string& name, bool serving) = 0;

  // Everything NOT_SERVING, for good.
  virtual void SetNotServing() = 0;

  // Refuses new calls, gives running ones `grace`, then cancels them. Blocks until all have ended.
  // Call once.
  virtual void Shutdown(absl::Duration grace) = 0;
};

// Starts listening; services and metrics must outlive the server. One clear line where it
// cannot: UNAVAILABLE where the address cannot be bound, or the process may not have enough
// descriptors, INVALID_ARGUMENT where a file of TLS is bad.
absl::StatusOr<std::unique_ptr<GrpcServer>> StartGrpcServer(
    const RpcOptions& options, const std::vector<grpc::Service*>& services, Metrics* metrics);

}  // namespace pixpool
