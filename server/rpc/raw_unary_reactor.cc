#include "server/rpc/raw_unary_reactor.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/rpc/caller.h"
#include "server/rpc/read_end.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

// An answer that comes at the last moment still has this long to be read.
constexpr std::chrono::seconds kLeastTimeToRead(1);

// gRPC's timer of a deadline ends a call this much before ours at most.
constexpr std::chrono::milliseconds kTimersDiffer(50);

absl::Status NoMessage() {
  return MakeError(ErrorReason::kRequestInvalid, "the call has no message; it takes one");
}

absl::Status TooManyMessages() {
  return MakeError(ErrorReason::kRequestInvalid,
                   "the call has more than one message; it takes one");
}

absl::Status NeverArrived() {
  return MakeError(ErrorReason::kDeadlineInQueue,
                   "the deadline passed before the call's message had arrived");
}

}  // namespace

RawUnaryReactor::RawUnaryReactor(RpcMethod method, const CallDeps& deps,
                                 grpc::CallbackServerContext* context)
    : context_(context),
      call_(NewCallContext(*context, deps, CallerOf(IntroductionOf(*context, deps), deps),
                           Priority::kInteractive)),
      record_(method, OriginOf(*context, call_->caller()), deps),
      deps_(deps),
      handle_(context) {}

void RawUnaryReactor::Start() noexcept {
  self_ = shared_from_this();
  const auto keep = self_;
  Guarded([this] {
    if (absl::Status status = MayStart(); !status.ok()) return End(status);
    deps_.watch->AwaitMessage(this, call_->deadline());
    StartRead(&incoming_);
  });
}

void RawUnaryReactor::OnReadDone(bool ok) {
  const auto keep = shared_from_this();
  Guarded([this, ok] { Read(ok); });
}

void RawUnaryReactor::Read(bool ok) {
  if (!Leave(Phase::kArriving, Phase::kRunning)) {
    // The client has sent all there is, or more than it may.
    if (!ok) return;
    incoming_.Clear();
    too_many_.store(true);
    call_->Cancel();
    return;
  }
  deps_.watch->Forget(this);
  if (!ok) {
    const TimePoint now = deps_.clock->Now();
    if (!CallBrokeBeforeRead(context_) && now < call_->deadline()) return EndWithoutMessage();
    call_->Cancel();
    return End(call_->Check(now, "admission"));
  }
  const absl::StatusOr<ByteHold> hold = Parse(&incoming_);
  if (!hold.ok()) return End(hold.status());
  StartRead(&incoming_);
  Run();
}

void RawUnaryReactor::End(const absl::Status& status) noexcept {
  if (phase_.exchange(Phase::kEnded) == Phase::kEnded) return;
  grpc::Status sent = BareStatus();
  bool recorded = false;
  const absl::Status thrown = Guard([&] {
    const absl::Status final_status = too_many_.load() ? TooManyMessages() : status;
    recorded = true;
    record_.End(final_status);
    if (const std::string pushback = RetryPushback(final_status); !pushback.empty()) {
      context_->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
    }
    sent = ToGrpcStatus(final_status);
  });
  if (!thrown.ok() && !recorded) record_.End(absl::UnavailableError(""));
  // The last thing done to this object.
  Finish(std::move(sent));
}

void RawUnaryReactor::EndWithoutMessage() {
  grpc::Status sent = ToGrpcStatus(NoMessage());
  if (phase_.exchange(Phase::kEnded) == Phase::kEnded) return;
  without_message_ = true;
  // The last thing done to this object.
  Finish(std::move(sent));
}

void RawUnaryReactor::Answer(grpc::ByteBuffer message, Permit permit, ByteHold hold) noexcept {
  if (too_many_.load()) return End(absl::OkStatus());
  if (phase_.exchange(Phase::kEnded) == Phase::kEnded) return;
  answer_.Swap(&message);
  permit_ = std::move(permit);
  hold_ = std::move(hold);
  answered_bytes_ = static_cast<int64_t>(answer_.Length());
  record_.End(absl::OkStatus());
  deps_.watch->AwaitReader(
      this, std::max<TimePoint>(call_->deadline(), deps_.clock->Now() + kLeastTimeToRead), 1,
      answered_bytes_);
  // The last thing done to this object.
  StartWriteAndFinish(&answer_, grpc::WriteOptions(), grpc::Status::OK);
}

void RawUnaryReactor::OnExpired() {
  if (Leave(Phase::kArriving, Phase::kRunning)) return Guarded([this] { End(NeverArrived()); });
  if (phase_.load() != Phase::kEnded) return;
  // The status is behind the bytes that nobody reads, so there is no way to say more.
  handle_.Cancel();
}

void RawUnaryReactor::OnDone() {
  deps_.watch->Forget(this);
  // Of a client that left before its deadline it cannot be said that it would not have read.
  if (answered_bytes_ > 0 && context_->IsCancelled() &&
      deps_.clock->Now() >= call_->deadline() - kTimersDiffer) {
    record_.AnswerUnread(answered_bytes_);
  }
  if (without_message_) {
    const absl::Status thrown =
        Guard([this] { record_.End(context_->IsCancelled() ? MessageRefused() : NoMessage()); });
    if (!thrown.ok()) record_.End(thrown);
  }
  permit_.Release();
  hold_.Release();
  self_.reset();
}

}  // namespace pixpool
