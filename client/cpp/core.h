// What every call of one Client shares. Internal: not part of the installed API.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/client.h"
#include "client/cpp/entry.h"
#include "client/cpp/error.h"
#include "client/cpp/proxy.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "pixpool/v1/feature_service.grpc.pb.h"

namespace pixpool::client::internal {

// Outlives every call: a call is Begin to End, and the destructor waits until all have ended. Calls
// do not share ownership, because they end on gRPC's callback threads, and a channel whose last
// owner is such a thread would make that thread join itself.
class Core {
 public:
  Core(ClientOptions o, std::shared_ptr<const Entry> e)
      : options(std::move(o)), entry(std::move(e)) {}
  ~Core() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &Core::Idle));
  }

  void Begin() {
    absl::MutexLock lock(&mu_);
    ++calls_;
  }
  // The last thing a call does with this object or anything that refers to the channel.
  void End() {
    absl::MutexLock lock(&mu_);
    --calls_;
  }

  // The headers of a call that begins here and now. INVALID_ARGUMENT for those that cannot be sent.
  absl::StatusOr<Headers> CallHeaders() const {
    return entry->Complete(options.headers == nullptr ? Headers() : options.headers());
  }

  // The error of a call that failed, with its trailers.
  absl::Status ErrorOf(const grpc::Status& status,
                       const std::multimap<grpc::string_ref, grpc::string_ref>& trailers) const {
    return ExplainUnreached(FromGrpcStatus(status, &trailers), options.target);
  }

  // Constant after construction; stubs and timer are thread-safe.
  ClientOptions options;
  std::shared_ptr<const Entry> entry;
  Timer* timer = nullptr;
  std::unique_ptr<v1::FeatureService::Stub> features;
  std::unique_ptr<grpc::health::v1::Health::Stub> health;

 private:
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_ == 0; }

  absl::Mutex mu_;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pixpool::client::internal
