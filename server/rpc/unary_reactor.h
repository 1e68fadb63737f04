// What the unary calls that go through the pipeline share.
#pragma once

#include <chrono>
#include <memory>

#include "grpcpp/grpcpp.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/call.h"
#include "server/rpc/status.h"

namespace pixpool {

// One call: its deadline and cancellation, its log line, its end. Deletes itself when gRPC is done
// with it; request and response live until then. A subclass starts its work after construction and
// ends with End, once.
template <typename Request, typename Response>
class UnaryReactor : public grpc::ServerUnaryReactor {
 public:
  UnaryReactor(RpcMethod method, const CallOptions& options, Pipeline* pipeline, Metrics* metrics,
               const Clock* clock, grpc::CallbackServerContext* context, const Request* request,
               Response* response)
      : pipeline_(pipeline),
        metrics_(metrics),
        clock_(clock),
        request_(request),
        response_(response),
        call_(std::make_shared<CallContext>(CallDeadline(
            context->deadline(), std::chrono::system_clock::now(), clock->Now(), options))),
        record_(method, OriginOf(*context), metrics, clock),
        context_(context) {}

  void OnCancel() override { call_->Cancel(); }
  void OnDone() override { delete this; }

 protected:
  // Ends the call with the reply that `convert` makes, timed.
  template <typename Convert>
  void EndWithReply(Convert convert) {
    const TimePoint start = clock_->Now();
    convert();
    metrics_->StageTime(Stage::kConvert, ToSeconds(clock_->Now() - start));
    End(absl::OkStatus());
  }

  // The last thing done to this object: gRPC may delete it before Finish returns.
  void End(const absl::Status& status) {
    if (const std::string pushback = RetryPushback(status); !pushback.empty()) {
      context_->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
    }
    record_.End(status);
    Finish(ToGrpcStatus(status));
  }

  Pipeline* const pipeline_;
  Metrics* const metrics_;
  const Clock* const clock_;
  const Request* const request_;
  Response* const response_;
  const std::shared_ptr<CallContext> call_;
  CallRecord record_;

 private:
  grpc::CallbackServerContext* const context_;
};

}  // namespace pixpool
