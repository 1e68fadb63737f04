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
#include "grpcpp/grpcpp.h"
#include "server/base/call_context.h"
#include "server/base/error.h"
#include "server/rpc/call.h"
#include "server/rpc/status.h"

namespace pixpool {

struct BidiOptions {
  RpcMethod method = RpcMethod::kStreamFeatures;
  CallOptions call;
  bool in_order = false;       // replies in the order of their messages, else as they come
  const char* unit = "items";  // what is counted in the call's log line
};

// One stream: reads messages while fewer than max_stream_in_flight are at work or their replies
// unsent, so that a client that does not read holds its own requests up and no memory; counts, logs
// and ends the call. `Settings` is what messages may set for those after them.
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
template <typename Request, typename Response, typename Settings>
class BidiReactor : public grpc::ServerBidiReactor<Request, Response>,
                    public std::enable_shared_from_this<BidiReactor<Request, Response, Settings>> {
 public:
  BidiReactor(const BidiOptions& options, Metrics* metrics, const Clock* clock,
              grpc::CallbackServerContext* context)
      : options_(options),
        clock_(clock),
        context_(context),
        record_(options.method, OriginOf(*context), metrics, clock) {}

  void Start() {
    self_ = this->shared_from_this();
    absl::MutexLock lock(&mu_);
    StartReadLocked();
  }

  void OnReadDone(bool ok) override {
    const auto keep = this->shared_from_this();
    Item item;
    {
      absl::MutexLock lock(&mu_);
      item.message = std::move(incoming_);
      reading_ = false;
      if (!ok) {
        read_closed_ = true;
        return FinishIfOverLocked();
      }
      if (!Takes(*item.message, &settings_)) return StartReadLocked();
      // Here, and not when it is handed over: by then the next message may have come in on another
      // thread.
      RegisterLocked(&item);
    }
    Submit(std::move(item));
    absl::MutexLock lock(&mu_);
    if (!reading_) StartReadLocked();
  }

  void OnWriteDone(bool ok) override {
    const auto keep = this->shared_from_this();
    absl::MutexLock lock(&mu_);
    writing_ = false;
    replies_.pop_front();
    if (!ok) over_ = true;  // the client is gone; what is in flight is dropped as it comes back
    WriteLocked();
    if (!reading_) StartReadLocked();
    FinishIfOverLocked();
  }

  void OnCancel() override {
    const auto keep = this->shared_from_this();
    absl::MutexLock lock(&mu_);
    over_ = true;
    for (auto& [index, call] : active_) call->Cancel();
    FinishIfOverLocked();
  }

  void OnDone() override { self_.reset(); }

 protected:
  // One message on its way to the pipeline.
  struct Item {
    std::shared_ptr<Request> message;
    Settings settings;  // those in force
    int64_t index = 0;  // among the messages that have a reply
    std::shared_ptr<CallContext> call;
  };

  // Whether a message is to be answered; notes the settings in it. Called under the lock, in the
  // order of the messages.
  virtual bool Takes(const Request& message, Settings* settings) = 0;

  // Hands one message to the pipeline and sees to it that Reply is called once. No lock is held:
  // the pipeline may answer at once, on this thread.
  virtual void Submit(Item item) = 0;

  void Reply(int64_t index, std::unique_ptr<Response> response, bool failed) {
    absl::MutexLock lock(&mu_);
    failed_count_ += failed ? 1 : 0;
    active_.erase(index);
    if (!over_) QueueLocked(index, std::move(response));
    WriteLocked();
    FinishIfOverLocked();
  }

 private:
  // Gives the message its place in the stream, the settings in force, and its own allowance of time
  // within the stream's.
  void RegisterLocked(Item* item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    item->index = count_++;
    item->settings = settings_;
    item->call = std::make_shared<CallContext>(CallDeadline(
        context_->deadline(), std::chrono::system_clock::now(), clock_->Now(), options_.call));
    if (over_) item->call->Cancel();
    active_.emplace(item->index, item->call);
  }

  void QueueLocked(int64_t index, std::unique_ptr<Response> response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!options_.in_order) return replies_.push_back(std::move(response));
    held_.emplace(index, std::move(response));
    while (!held_.empty() && held_.begin()->first == next_) {
      replies_.push_back(std::move(held_.begin()->second));
      held_.erase(held_.begin());
      ++next_;
    }
  }

  void StartReadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const size_t in_flight = active_.size() + held_.size() + replies_.size();
    if (read_closed_ || finished_ || over_ || reading_ ||
        in_flight >= static_cast<size_t>(options_.call.max_stream_in_flight)) {
      return FinishIfOverLocked();
    }
    reading_ = true;
    incoming_ = std::make_shared<Request>();
    this->StartRead(incoming_.get());
  }

  void WriteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || finished_) return;
    if (over_) {
      held_.clear();
      return replies_.clear();
    }
    if (replies_.empty()) return;
    writing_ = true;
    this->StartWrite(replies_.front().get());
  }

  void FinishIfOverLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const bool idle = !reading_ && !writing_ && active_.empty();
    if (finished_ || !idle || !(over_ || (read_closed_ && replies_.empty()))) return;
    finished_ = true;
    record_.Note(options_.unit, count_);
    record_.Note(std::string("failed_") + options_.unit, failed_count_);
    const absl::Status status = over_ ? OverStatus() : absl::OkStatus();
    record_.End(status);
    this->Finish(ToGrpcStatus(status));
  }

  // Why a stream ended before its client had everything; gRPC cancels one whose deadline has
  // passed.
  absl::Status OverStatus() const {
    if (std::chrono::system_clock::now() >= context_->deadline()) {
      return MakeError(ErrorReason::kDeadlineInQueue, "the stream's deadline passed");
    }
    return MakeError(ErrorReason::kCancelled, "the client cancelled the stream");
  }

  // Constant after construction.
  const BidiOptions options_;
  const Clock* const clock_;
  grpc::CallbackServerContext* const context_;

  std::shared_ptr<BidiReactor> self_;  // set by Start, reset by OnDone

  absl::Mutex mu_;
  std::shared_ptr<Request> incoming_ ABSL_GUARDED_BY(mu_);  // being read
  CallRecord record_ ABSL_GUARDED_BY(mu_);
  Settings settings_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, std::shared_ptr<CallContext>> active_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, std::unique_ptr<Response>> held_ ABSL_GUARDED_BY(mu_);  // wait for their turn
  std::deque<std::unique_ptr<Response>> replies_ ABSL_GUARDED_BY(mu_);
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t failed_count_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t next_ ABSL_GUARDED_BY(mu_) = 0;  // index of the next reply, where they go in order
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool read_closed_ ABSL_GUARDED_BY(mu_) = false;  // the client has sent everything
  bool over_ ABSL_GUARDED_BY(mu_) = false;         // cancelled, or the connection is gone
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pixpool
