// What the bidirectional streams that go through the pipeline share.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/generic/async_generic_service.h"
#include "server/base/error.h"
#include "server/base/text.h"
#include "server/pipeline/admission.h"
#include "server/rpc/call.h"
#include "server/rpc/call_handle.h"
#include "server/rpc/call_watch.h"
#include "server/rpc/caller.h"
#include "server/rpc/guard.h"
#include "server/rpc/message_bytes.h"
#include "server/rpc/priority.h"
#include "server/rpc/read_end.h"
#include "server/rpc/receive.h"
#include "server/rpc/status.h"

namespace pixpool {

// By how many the messages of a stream that only change its settings may outnumber the others.
inline constexpr int64_t kMostPassedOver = 100;

struct BidiOptions {
  RpcMethod method = RpcMethod::kStreamFeatures;
  bool in_order = false;       // replies in the order of their messages, else as they come
  const char* unit = "items";  // what is counted in the call's log line
};

// One stream: reads messages while fewer than max_stream_in_flight are at work or their replies
// unsent, so that a client that does not read holds its own requests up; what a reply costs the
// server is held until gRPC has written it. Counts, logs and ends the call; also where the bytes
// are no `Request`, where the client has read nothing for max_deadline, and where something throws.
// `Settings` is what messages may set for those after them.
//
// Invariants, under mu_:
//   - active_.size() + held_.size() + replies_.size() <= max_stream_in_flight whenever a read is
//   started;
//   - at most one read and one write are outstanding;
//   - Finish is called once, when nothing is active, queued, being read or being written and either
//     the client is done or the call is over.
// gRPC may call OnDone as soon as Finish is called, on another thread, while this one still holds
// mu_. So the object owns itself from Start to OnDone, and every entry point keeps it alive past
// its lock (`keep` is declared before the lock). Make it with std::make_shared.
template <typename Request, typename Settings>
class BidiReactor : public grpc::ServerGenericBidiReactor,
                    public Watched,
                    public std::enable_shared_from_this<BidiReactor<Request, Settings>> {
 public:
  BidiReactor(const BidiOptions& options, const CallDeps& deps,
              grpc::CallbackServerContext* context)
      : options_(options),
        deps_(deps),
        context_(context),
        handle_(context),
        caller_(CallerOf(IntroductionOf(*context, deps), deps)),
        record_(options.method, OriginOf(*context, caller_.name), deps) {}

  void Start() noexcept {
    self_ = this->shared_from_this();
    const auto keep = self_;
    Guarded([this] {
      const auto priority = PriorityFromMetadata(*context_, Priority::kBulk);
      absl::MutexLock lock(&mu_);
      if (!priority.ok()) return FailLocked(priority.status());
      priority_ = AllowedPriority(caller_.terms.get(), *priority);
      record_.SetPriority(priority_);
      StartReadLocked();
    });
  }

  void OnReadDone(bool ok) final {
    const auto keep = this->shared_from_this();
    Guarded([this, ok] { Read(ok); });
  }

  void OnWriteDone(bool ok) final {
    const auto keep = this->shared_from_this();
    Guarded([this, ok] {
      absl::MutexLock lock(&mu_);
      writing_ = false;
      reply_bytes_ -= static_cast<int64_t>(replies_.front().bytes.Length());
      replies_.pop_front();
      if (!ok)
        EndWorkLocked();  // the client is gone; what is in flight is dropped as it comes back
      WriteLocked();
      StartReadLocked();
      FinishIfOverLocked();
    });
  }

  void OnCancel() final {
    const auto keep = this->shared_from_this();
    Guarded([this] {
      absl::MutexLock lock(&mu_);
      EndWorkLocked();
      FinishIfOverLocked();
    });
  }

  // The client has read nothing for too long. What would tell it so is behind the bytes that it
  // does not read, so that it sees CANCELLED alone.
  void OnExpired() final {
    Guarded([this] {
      absl::MutexLock lock(&mu_);
      if (over_ || finished_) return;
      deps_.metrics->AnswerDropped();
      const auto& limit = deps_.options->max_deadline;
      FailLocked(MakeError(ErrorReason::kCancelled,
                           Concat("the client has read none of the stream's answers for ",
                                  limit.value().count(), " ms (", limit.flag(), ")")));
    });
    handle_.Cancel();
  }

  void OnDone() final {
    deps_.watch->Forget(this);
    {
      absl::MutexLock lock(&mu_);
      // One that ended well has been cut after all where gRPC refused its last message.
      if (!std::exchange(counted_, true)) {
        over_ = context_->IsCancelled();
        CountLocked();
      }
    }
    self_.reset();
  }

 protected:
  // One message on its way to the pipeline.
  struct Item {
    std::shared_ptr<Request> message;
    std::shared_ptr<const Settings> settings;  // those in force
    int64_t index = 0;                         // among the messages that have a reply
    std::shared_ptr<CallContext> call;
  };

  // Whether a message is to be answered; notes the settings in it. Called under the lock, in the
  // order of the messages. An error ends the stream.
  virtual absl::StatusOr<bool> Takes(Request* message,
                                     std::shared_ptr<const Settings>* settings) = 0;

  // Hands one message to the pipeline and sees to it that Reply is called once, within Guarded. No
  // lock is held: the pipeline may answer at once, on this thread.
  virtual void Submit(Item item) = 0;

  // Takes over what the reply costs until it is written. `model`: see CallRecord::SetModel; null:
  // not known.
  void Reply(int64_t index, grpc::ByteBuffer bytes, Permit permit, bool failed,
             std::shared_ptr<ModelMetrics> model) {
    ByteHold hold;
    absl::Status status;
    if (!permit.is_out()) {
      auto kept = HoldKept(deps_, holder(), static_cast<int64_t>(bytes.Length()));
      status = kept.status();
      if (kept.ok()) hold = *std::move(kept);
    }
    absl::MutexLock lock(&mu_);
    failed_count_ += failed ? 1 : 0;
    if (model != nullptr) record_.SetModel(std::move(model));
    if (const auto done = active_.find(index); done != active_.end()) {
      record_.SetPriority(done->second->priority());  // which the message may have said
      active_.erase(done);
    }
    if (!status.ok()) return FailLocked(std::move(status));
    if (!over_) {
      QueueLocked(
          index, {.bytes = std::move(bytes), .permit = std::move(permit), .hold = std::move(hold)});
    }
    WriteLocked();
    FinishIfOverLocked();
  }

  // Runs `body`; what it throws ends the stream, whose message `index` then has no reply.
  template <typename Body>
  void Guarded(const Body& body, int64_t index = -1) noexcept {
    absl::Status thrown = Guard(body);
    if (thrown.ok()) return;
    absl::MutexLock lock(&mu_);
    active_.erase(index);
    thrown_.Update(std::move(thrown));
    EndWorkLocked();
    WriteLocked();
    FinishIfOverLocked();
  }

  const CallDeps& deps() const { return deps_; }
  Holder holder() const { return {priority_, TokenOf(caller_.terms.get())}; }

 private:
  struct Answer {
    grpc::ByteBuffer bytes;
    Permit permit;
    ByteHold hold;  // where there is no permit
  };

  std::shared_ptr<Watched> Keep() final { return this->shared_from_this(); }

  void Read(bool ok) {
    auto message = std::make_shared<Request>();
    // gRPC's until now; the next read starts below.
    absl::StatusOr<ByteHold> hold;
    if (ok) hold = ReceiveMessage(deps_, holder(), &incoming_, message.get());
    Item item;
    {
      absl::MutexLock lock(&mu_);
      reading_ = false;
      if (!ok) {
        read_closed_ = true;
        broke_ = CallBrokeBeforeRead(context_);
        if (broke_) EndWorkLocked();
        return FinishIfOverLocked();
      }
      if (!hold.ok()) return FailLocked(hold.status());
      const absl::StatusOr<bool> takes = Takes(message.get(), &settings_);
      if (!takes.ok()) return FailLocked(takes.status());
      if (!*takes) return PassOverLocked();
      item.message = std::move(message);
      // Here, and not when it is handed over: by then the next message may have come in on another
      // thread.
      RegisterLocked(&item);
    }
    const int64_t index = item.index;
    Guarded([&] { Submit(std::move(item)); }, index);
    absl::MutexLock lock(&mu_);
    StartReadLocked();
  }

  // For a message that only changes settings. Others cost an answer; without a bound these would
  // keep a core busy for nothing.
  void PassOverLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (++passed_over_ <= kMostPassedOver + count_) return StartReadLocked();
    FailLocked(MakeError(
        ErrorReason::kRequestInvalid,
        Concat("the stream had ", passed_over_, " messages that hold no work, and ", count_,
               " others; it may have ", kMostPassedOver,
               " more of the former than of the latter. Send settings with the first message that "
               "they are for")));
  }

  // Gives the message its place in the stream, the settings in force, and its own allowance of time
  // within the stream's.
  void RegisterLocked(Item* item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    item->settings = settings_;
    item->call = NewCallContext(*context_, deps_, caller_, priority_);
    if (over_) item->call->Cancel();
    active_.emplace(count_, item->call);
    item->index = count_++;
  }

  void QueueLocked(int64_t index, Answer answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const int64_t bytes = static_cast<int64_t>(answer.bytes.Length());
    if (!options_.in_order) {
      replies_.push_back(std::move(answer));
    } else {
      held_.emplace(index, std::move(answer));
      for (auto next = held_.find(next_); next != held_.end(); next = held_.find(next_)) {
        replies_.push_back(std::move(next->second));
        held_.erase(next);
        ++next_;
      }
    }
    reply_bytes_ += bytes;
  }

  void StartReadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const size_t in_flight = active_.size() + held_.size() + replies_.size();
    if (read_closed_ || finished_ || over_ || reading_ ||
        in_flight >= static_cast<size_t>(deps_.options->max_stream_in_flight)) {
      return FinishIfOverLocked();
    }
    reading_ = true;
    StartRead(&incoming_);
  }

  void WriteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (finished_) return;
    if (!writing_) {
      if (over_) {
        held_.clear();
        replies_.clear();
        reply_bytes_ = 0;
      }
      if (replies_.empty()) return deps_.watch->Forget(this);
      // Its time begins anew with every answer.
      unread_until_ = deps_.clock->Now() + deps_.options->max_deadline.value();
      writing_ = true;
      WatchLocked();
      return StartWrite(&replies_.front().bytes);
    }
    WatchLocked();
  }

  void WatchLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto answers = static_cast<int64_t>(held_.size() + replies_.size());
    deps_.watch->AwaitReader(this, unread_until_, answers, reply_bytes_);
  }

  // Nothing more is read or queued.
  void EndWorkLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    over_ = true;
    for (auto& [index, call] : active_) call->Cancel();
  }

  // Ends the stream with an error of ours.
  void FailLocked(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!over_) failure_ = std::move(status);
    EndWorkLocked();
    WriteLocked();
    FinishIfOverLocked();
  }

  void FinishIfOverLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const bool idle = !reading_ && !writing_ && active_.empty();
    if (finished_ || !idle || !(over_ || (read_closed_ && replies_.empty()))) return;
    finished_ = true;
    counted_ = over_;
    Finish(over_ ? CountLocked() : grpc::Status::OK);
  }

  // Counts and logs the stream; gives the status to send.
  grpc::Status CountLocked() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    grpc::Status sent = BareStatus();
    bool recorded = false;
    // With the lock held, which the analysis does not see from within.
    const absl::Status thrown = Guard([&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      record_.Note(options_.unit, count_);
      record_.Note(std::string("failed_") + options_.unit, failed_count_);
      if (failed_count_ > 0) record_.SetFailed();
      const absl::Status status = over_ ? OverStatus() : absl::OkStatus();
      recorded = true;
      record_.End(status);
      sent = ToGrpcStatus(status);
    });
    if (!thrown.ok() && !recorded) record_.End(absl::UnavailableError(""));
    return sent;
  }

  // Why a stream ended before its client had everything; gRPC cancels one whose deadline has
  // passed.
  absl::Status OverStatus() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!thrown_.ok()) return thrown_;
    if (!failure_.ok()) return failure_;
    if (std::chrono::system_clock::now() >= WallDeadline(context_->raw_deadline())) {
      return MakeError(ErrorReason::kDeadlineInQueue, "the stream's deadline passed");
    }
    if (broke_ || !read_closed_) {
      return MakeError(ErrorReason::kCancelled, "the client cancelled the stream");
    }
    return MakeError(ErrorReason::kCancelled,
                     Concat("the client cancelled the stream after its last message, or gRPC "
                            "refused one that has more bytes than ",
                            RpcOptions::kMaxMessageBytes.flag, " allows or is compressed"));
  }

  // Constant after construction.
  const BidiOptions options_;
  const CallDeps deps_;
  grpc::CallbackServerContext* const context_;
  const CallHandle handle_;
  const Caller caller_;

  std::shared_ptr<BidiReactor> self_;    // set by Start, reset by OnDone
  Priority priority_ = Priority::kBulk;  // set by Start, before the first read
  grpc::ByteBuffer incoming_;            // gRPC's between StartRead and OnReadDone

  absl::Mutex mu_;
  CallRecord record_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const Settings> settings_ ABSL_GUARDED_BY(mu_) = std::make_shared<Settings>();
  std::map<int64_t, std::shared_ptr<CallContext>> active_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, Answer> held_ ABSL_GUARDED_BY(mu_);  // wait for their turn
  std::deque<Answer> replies_ ABSL_GUARDED_BY(mu_);      // the first is being written
  int64_t reply_bytes_ ABSL_GUARDED_BY(mu_) = 0;         // of both
  TimePoint unread_until_ ABSL_GUARDED_BY(mu_);
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t passed_over_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t failed_count_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t next_ ABSL_GUARDED_BY(mu_) = 0;      // index of the next reply, where they go in order
  absl::Status failure_ ABSL_GUARDED_BY(mu_);  // of ours; OK: none
  absl::Status thrown_ ABSL_GUARDED_BY(mu_);   // what was thrown first; OK: nothing
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool read_closed_ ABSL_GUARDED_BY(mu_) = false;  // the client has sent everything
  bool broke_ ABSL_GUARDED_BY(mu_) = false;        // before that
  bool over_ ABSL_GUARDED_BY(mu_) = false;         // cancelled, failed, or the connection is gone
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  bool counted_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pixpool
