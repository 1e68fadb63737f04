// Unary calls with messages of a type: work for the pipeline, and questions that need none.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "server/base/status_macros.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/message_bytes.h"
#include "server/rpc/priority.h"
#include "server/rpc/raw_unary_reactor.h"
#include "server/rpc/receive.h"

namespace pixpool {

template <typename Request, typename Response>
class UnaryReactor : public RawUnaryReactor {
 public:
  using RawUnaryReactor::RawUnaryReactor;

 protected:
  absl::StatusOr<ByteHold> Parse(grpc::ByteBuffer* bytes) final {
    request_ = std::make_unique<Request>();
    auto hold = ReceiveMessage(deps(), holder(), bytes, request_.get());
    if (!hold.ok()) request_.reset();
    return hold;
  }

  // Ends the call with the reply that `convert` makes of the request and what it holds, timed.
  // Request and reply are gone when the bytes begin to wait for their reader. `convert` gives the
  // status of the call.
  template <typename Convert>
  void EndWithReply(Permit permit, Convert convert) {
    const TimePoint start = deps().clock->Now();
    absl::Status status;
    grpc::ByteBuffer bytes;
    {
      Response response;
      status = convert(&response);
      if (status.ok()) bytes = SerializeMessage(response);
    }
    request_.reset();
    const TimePoint end = deps().clock->Now();
    record_.model().StageTime(Stage::kConvert, ToSeconds(end - start));
    record_.TraceStage(Stage::kConvert, start, end);
    if (!status.ok()) return End(status);
    ByteHold hold;
    if (!permit.is_out()) {
      auto kept = HoldKept(deps(), holder(), static_cast<int64_t>(bytes.Length()));
      if (!kept.ok()) return End(kept.status());
      hold = *std::move(kept);
    }
    Answer(std::move(bytes), std::move(permit), std::move(hold));
  }

  Holder holder() const { return {call_->priority(), call_->token()}; }

  std::unique_ptr<Request> request_;  // from Run to the reply
};

// A call that goes through the pipeline.
template <typename Request, typename Response>
class WorkReactor : public UnaryReactor<Request, Response> {
 public:
  using UnaryReactor<Request, Response>::UnaryReactor;

 protected:
  absl::Status MayStart() final {
    PIXPOOL_ASSIGN_OR_RETURN(const Priority priority,
                             PriorityFromMetadata(*this->context_, Priority::kInteractive));
    this->SetPriority(priority);
    return this->deps().pipeline->MayArrive(*this->call_);
  }
};

// A call that is answered at once.
template <typename Request, typename Response>
class QuestionReactor final : public UnaryReactor<Request, Response> {
 public:
  using Reply = std::function<absl::Status(const Request&, Response*)>;

  QuestionReactor(RpcMethod method, const CallDeps& deps, grpc::CallbackServerContext* context,
                  const Reply* reply)
      : UnaryReactor<Request, Response>(method, deps, context), reply_(reply) {}

 private:
  absl::Status MayStart() override { return absl::OkStatus(); }

  void Run() override {
    this->EndWithReply(Permit(),
                       [this](Response* response) { return (*reply_)(*this->request_, response); });
  }

  const Reply* const reply_;  // of the service
};

}  // namespace pixpool
