// The images of a stream: those that wait, those that are with the server, and what comes back.
// Internal: not part of the installed API.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/core.h"
#include "client/cpp/retry.h"
#include "client/cpp/stream.h"
#include "client/cpp/window.h"
#include "grpcpp/client_context.h"

namespace pixpool::client::internal {

// Thread-safe: a thread feeds it for as long as the stream lasts; of each call one thread writes
// and one reads.
//
// Invariant: every image taken from the source and not answered to the sink is in exactly one of
// sent_ (with the server), a timer's function (shed, its delay running) and ready_ (to be sent).
class StreamImages : public std::enable_shared_from_this<StreamImages> {
 public:
  StreamImages(Core* core, const StreamOptions& options)
      : core_(core),
        max_in_flight_(options.max_in_flight),
        max_call_age_(options.max_call_age),
        deadline_(core->timer->Now() + options.timeout),
        window_(std::max(1, options.max_in_flight)) {}

  absl::Duration Remaining() const { return deadline_ - core_->timer->Now(); }

  // False: it has been called before.
  bool Start();
  // Asks the source for as many images as may be in flight; until it has ended, or Stop.
  void Feed(const Stream::Source& source);
  void Stop();
  void Cancel();

  // Blocks until there is something to send. False: all is answered.
  bool AwaitNeedOfCall();
  // The context of the call that begins; CANCELLED. There until EndCall.
  absl::StatusOr<grpc::ClientContext*> BeginCall();
  // Blocks until there is an image to send; null: nothing more is to be written.
  std::shared_ptr<const v1::Image> NextToSend();
  // The ordinal of an answered image; nullopt if it is going to be sent again.
  absl::StatusOr<std::optional<int64_t>> Answered(const v1::ImageResult& result);
  // No more results will come.
  void StopCall();
  // How the call, which ended with `error`, ended for the stream. UNAVAILABLE without a reason:
  // Recover may mend it.
  absl::Status EndCall(const absl::Status& error);

  // After a call that the connection was lost with: waits, and readies what it had not answered.
  // The error where that is not to be tried again. `reopen`: of the calls in a row without a
  // result.
  absl::Status Recover(const absl::Status& error, RetrySchedule& reopen);

 private:
  struct Item {
    int64_t ordinal;
    std::shared_ptr<const v1::Image> image;  // kept for sending again
    RetrySchedule retry;
    int64_t window_number = 0;
    int losses = 0;  // connections that it was lost with
  };

  // Blocks for `delay` of the timer, or until Cancel.
  void Pause(absl::Duration delay);

  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return over_ || cancelled_ || unanswered_ < max_in_flight_;
  }
  bool AllAnswered() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return exhausted_ && unanswered_ == 0;
  }
  bool NeedsCall() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return cancelled_ || !ready_.empty() || AllAnswered();
  }
  bool WriterHasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const bool sendable = !ready_.empty() && sent_.size() < static_cast<size_t>(window_.size());
    return call_over_ || renew_ || sendable || AllAnswered();
  }

  // Constant after construction.
  Core* const core_;
  const int max_in_flight_;
  const absl::Duration max_call_age_;
  const absl::Time deadline_;

  absl::Mutex mu_;
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool over_ ABSL_GUARDED_BY(mu_) = false;       // nothing more is taken from the source
  bool exhausted_ ABSL_GUARDED_BY(mu_) = false;  // the source has ended
  int unanswered_ ABSL_GUARDED_BY(mu_) = 0;      // all images taken and not answered
  int64_t next_ordinal_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Item> ready_ ABSL_GUARDED_BY(mu_);
  Window window_ ABSL_GUARDED_BY(mu_);

  // Of the call that is under way. The context is there for no longer: it holds on to the channel,
  // which a timer that still knows this object must not.
  std::unique_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mu_);
  absl::Time opened_ ABSL_GUARDED_BY(mu_);
  bool renew_ ABSL_GUARDED_BY(mu_) = false;      // takes no more images: the next call does
  bool call_over_ ABSL_GUARDED_BY(mu_) = false;  // no more results will come
  int64_t next_index_ ABSL_GUARDED_BY(mu_) = 0;  // the server's count of images
  int64_t results_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<int64_t, Item> sent_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool::client::internal
