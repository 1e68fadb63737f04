// Admission: the only place that can say "full".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/error.h"
#include "server/pipeline/caller_rates.h"
#include "server/pipeline/held_bytes.h"
#include "server/pipeline/options.h"
#include "server/pipeline/overload_control.h"
#include "server/pipeline/retry_advice.h"

namespace pixpool {

// What a request costs while it is in flight.
struct AdmissionCost {
  int64_t bytes = 0;   // of encoded and raw images; of a tensor with its answer
  int64_t pixels = 0;  // that are held at most while images are decoded and until they are through
  int images = 1;      // to be worked on; each is given back by Done
  double seconds = 0;  // predicted work of all images on one thread; 0: not known
  int passes = 1;      // over the network, of all images: what the rate of a token counts
};

class Admission;

// The right to be in flight; returns its cost when destroyed. Movable. Must not outlive its
// Admission.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)),
        cost_(other.cost_),
        priority_(other.priority_),
        caller_(std::move(other.caller_)) {}
  Permit& operator=(Permit&& other) noexcept;
  ~Permit() { Release(); }
  void Release();
  bool is_out() const { return owner_ != nullptr; }

 private:
  friend class Admission;
  Permit(Admission* owner, AdmissionCost cost, Priority priority, std::string caller)
      : owner_(owner), cost_(cost), priority_(priority), caller_(std::move(caller)) {}
  Admission* owner_ = nullptr;
  AdmissionCost cost_;
  Priority priority_ = Priority::kInteractive;
  std::string caller_;
};

// Bounds what is in flight: requests, bytes and pixels by fixed ceilings, and work by what can be
// answered in time (OverloadControl). Everything behind it holds at least as many entries as there
// are permits, so admitted work is never refused later. A request that alone is over a budget is
// admitted when nothing else is in flight: the limits of one request are checked elsewhere.
//
// Before all that, a caller whose token bounds it has no more than that.
//
// Of each ceiling, bulk requests leave a quarter to interactive ones, and one caller a sixteenth to
// the others; so no request counts for more than that.
//
// Thread-safe, never blocks but in WaitUntilIdle.
class Admission {
 public:
  // `threads` work on pictures at once. The clock must outlive this.
  Admission(AdmissionLimits limits, int threads, const Clock* clock)
      : clock_(clock),
        options_(limits),
        reading_(ReadingPart(limits.max_bytes)),
        kept_(KeptPart(limits.max_bytes)),
        limits_(std::move(limits)),
        overload_(threads),
        advice_(limits_.retry_after.value()),
        quota_advice_(limits_.retry_after.value()) {}

  // Whether a call has a chance, before its cost is known. Errors as of Acquire. Takes nothing.
  absl::Status MayArrive(const CallContext& call);

  // Errors: OVERLOADED and QUOTA_EXCEEDED with retry_after; DRAINING after Close.
  absl::StatusOr<Permit> Acquire(AdmissionCost cost, const CallContext& call);

  // Adds the work on one image to what a request has, whose work was to be done by another that has
  // ended: so there is no more of it than was taken. The permit is out.
  void TakeOver(Permit* permit, const AdmissionCost& work, const CallContext& call);

  // Counts a message while it is read, `bytes` of which it takes at most, and what is kept for a
  // client beside its requests in flight: settings of streams, answers that took no permit. The two
  // are bounded apart, with three quarters and one of as many bytes as may be in flight. Errors:
  // OVERLOADED with retry_after.
  absl::StatusOr<ByteHold> HoldMessage(int64_t bytes);
  absl::StatusOr<ByteHold> HoldKept(int64_t bytes);

  // One image that was admitted has left the pipeline, though its permit is still out; `seconds` as
  // predicted. `worked`: not dropped. `waiting` images have not been begun.
  void Done(const CallContext& call, double seconds, bool worked, int waiting);

  // Sets the ceilings of bytes and pixels, to no more than the options allow; permits that are out
  // stay out.
  void SetMost(int64_t max_bytes, int64_t max_pixels);

  // From now on every Acquire fails with DRAINING.
  void Close();

  // Blocks until no permit is out, at most `timeout` and a day. Returns whether that happened.
  bool WaitUntilIdle(absl::Duration timeout);

  struct Usage {
    int64_t requests = 0;
    int64_t bytes = 0;
    int64_t pixels = 0;
  };
  Usage usage() const;
  AdmissionLimits limits() const;
  int64_t held_bytes() const { return reading_.bytes() + kept_.bytes(); }

  // Whether only so many interactive images are taken as can be answered at once, and how many
  // those are.
  bool overloaded() const;
  // Whether `waiting` pieces of work are a backlog from before the overload was noticed.
  bool has_backlog(int waiting) const;
  int image_limit() const;

 private:
  friend class Permit;
  void Return(const Permit& permit);

  static int64_t KeptPart(int64_t max_bytes) { return max_bytes / 4; }
  static int64_t ReadingPart(int64_t max_bytes) { return max_bytes - KeptPart(max_bytes); }
  absl::StatusOr<ByteHold> Hold(HeldBytes* held, int64_t bytes, std::string_view what);

  // OVERLOADED, with the time after which the caller is to try again.
  absl::Status Overloaded(ErrorDetails details, std::string_view why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `what` there is no room for, as clients and operators know it.
  absl::Status AtCeiling(std::string_view what, FlagNumber limit, std::string_view who)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // OK where the caller's token allows as much. Overload is not told of what it does not.
  absl::Status CheckTerms(const AdmissionCost& cost, const CallContext& call)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // OK where the ceilings have room.
  absl::Status CheckCeilings(const AdmissionCost& cost, const CallContext& call)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Refusal(OverloadControl::Verdict verdict, const OverloadControl::Call& call)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Judge(const OverloadControl::Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Clock* const clock_;
  const AdmissionLimits options_;
  HeldBytes reading_;
  HeldBytes kept_;
  mutable absl::Mutex mu_;
  AdmissionLimits limits_ ABSL_GUARDED_BY(mu_);
  Usage usage_ ABSL_GUARDED_BY(mu_);
  Usage bulk_ ABSL_GUARDED_BY(mu_);  // the part of it that is bulk
  // The part of each caller. absl's tables do not survive a failed allocation.
  std::map<std::string, Usage> callers_ ABSL_GUARDED_BY(mu_);
  CallerRates rates_ ABSL_GUARDED_BY(mu_);
  OverloadControl overload_ ABSL_GUARDED_BY(mu_);
  RetryAdvice advice_ ABSL_GUARDED_BY(mu_);
  // Of callers whose tokens allow no more: how often they come back is no reason for others to
  // wait.
  RetryAdvice quota_advice_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pixpool
