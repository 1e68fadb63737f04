// One unary call with its deadline and its retries. Internal: not part of the installed API.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "client/cpp/core.h"
#include "client/cpp/retry.h"
#include "grpcpp/client_context.h"

namespace pixpool::client::internal {

// Owns itself from Start until `done` has run; one attempt is in flight at a time. `done` runs
// exactly once, on a gRPC thread.
template <typename Request, typename Response>
class UnaryCall : public std::enable_shared_from_this<UnaryCall<Request, Response>> {
 public:
  using Method = std::function<void(grpc::ClientContext*, const Request*, Response*,
                                    std::function<void(grpc::Status)>)>;
  using Done = std::function<void(absl::StatusOr<Response>)>;

  UnaryCall(Core* core, const RetryPolicy& policy, absl::Duration timeout, Method method,
            Request request, Done done)
      : core_(core),
        deadline_(core_->timer->Now() + timeout),
        method_(std::move(method)),
        request_(std::move(request)),
        retry_(policy),
        done_(std::move(done)) {
    core_->Begin();
  }

  // May be called once.
  void Start() {
    absl::StatusOr<Headers> headers = core_->CallHeaders();
    if (headers.ok()) {
      headers_ = *std::move(headers);
      return Attempt();
    }
    // Not from here: the caller may hold what `done` wants.
    Timer::Real()->After(absl::ZeroDuration(), [self = this->shared_from_this(),
                                                error = headers.status()] { self->End(error); });
  }

 private:
  void Attempt() {
    context_ = std::make_unique<grpc::ClientContext>();
    for (const auto& [name, value] : headers_) context_->AddMetadata(name, value);
    response_.Clear();
    // The timer's clock may be a test's, gRPC's is real: only the time left carries over.
    const absl::Duration remaining = deadline_ - core_->timer->Now();
    if (remaining != absl::InfiniteDuration()) {
      context_->set_deadline(absl::ToChronoTime(absl::Now() + remaining));
    }
    method_(context_.get(), &request_, &response_,
            [self = this->shared_from_this()](const grpc::Status& s) { self->Finish(s); });
  }

  void Finish(const grpc::Status& status) {
    if (status.ok()) return End(std::move(response_));
    const absl::Status error = core_->ErrorOf(status, context_->GetServerTrailingMetadata());
    const std::optional<absl::Duration> delay =
        retry_.Next(error, deadline_ - core_->timer->Now(), RandomUnit());
    if (!delay) return End(error);
    core_->timer->After(*delay, [self = this->shared_from_this()] { self->Attempt(); });
  }

  void End(absl::StatusOr<Response> result) {
    context_.reset();  // it holds on to the channel
    done_(std::move(result));
    core_->End();
  }

  // Constant after construction.
  Core* const core_;
  const absl::Time deadline_;
  const Method method_;
  const Request request_;
  Headers headers_;  // set by Start

  // Touched by one attempt at a time, and attempts follow each other.
  RetrySchedule retry_;
  Done done_;
  std::unique_ptr<grpc::ClientContext> context_;
  Response response_;
};

}  // namespace pixpool::client::internal
