// Which failures are worth another try, and after what delay.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace pixpool::client {

struct RetryPolicy {
  // Attempts in all, the first one included; 1 turns retries off.
  int max_attempts = 5;
  // Wait before the second attempt where the server states none; it then grows by `multiplier`.
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(2);
  double multiplier = 2.0;
  // Waits are spread over +-20 %, so that shed clients do not come back together. Waits that the
  // server states are only ever lengthened. 0 to 1.
  double jitter = 0.2;
};

// OK, or INVALID_ARGUMENT naming the value that is out of range.
absl::Status CheckRetryPolicy(const RetryPolicy& policy);

// Whether a failure may pass if tried again: UNAVAILABLE with reason OVERLOADED, MODEL_LOADING or
// DRAINING, or without a reason (no connection), unless the server forbids it; QUOTA_EXCEEDED; and
// a call that the server has reset for want of room for messages. Never INVALID_ARGUMENT, another
// RESOURCE_EXHAUSTED (gRPC's answer to an oversized message) or DEADLINE_EXCEEDED.
bool IsRetryable(const absl::Status& status);

// The delays of one call. Not thread-safe; one object per call.
class RetrySchedule {
 public:
  explicit RetrySchedule(const RetryPolicy& policy) : policy_(policy) {}

  // Delay before the next attempt after an attempt that failed with `status`; nullopt: give up and
  // report `status`. A delay that would outlast `remaining`, the time left to the call, is a reason
  // to give up now. `random` is uniform in [0, 1).
  std::optional<absl::Duration> Next(const absl::Status& status, absl::Duration remaining,
                                     double random);

 private:
  RetryPolicy policy_;
  int failures_ = 0;
};

// A thread-local source for `random` above.
double RandomUnit();

}  // namespace pixpool::client
