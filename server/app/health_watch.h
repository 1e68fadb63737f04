// Follows a list of health checks and tells of each change.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/base/health_checks.h"
#include "server/base/ticker.h"

namespace pixpool {

// The log's line of a change: "live_again", or "not_live" with what is wrong.
void LogHealth(const char* what, const absl::Status& now);

// Runs the checks a few times a second on a thread of its own, and calls `changed` where they say
// something else than before: at first, and whenever OK turns into not OK or back. Thread-safe. The
// destructor joins; `changed` is not called after it.
class HealthWatch {
 public:
  using Changed = std::function<void(const absl::Status& now)>;

  HealthWatch(const HealthChecks* checks, Changed changed,
              std::chrono::milliseconds period = std::chrono::milliseconds(250));

  HealthWatch(const HealthWatch&) = delete;
  HealthWatch& operator=(const HealthWatch&) = delete;

  // Looks at once, on the calling thread, so that a change which is known here is told here.
  void Look() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const HealthChecks* const checks_;
  const Changed changed_;

  absl::Mutex mu_;  // held while `changed` runs: changes are told in their order
  std::optional<bool> well_ ABSL_GUARDED_BY(mu_);
  Ticker ticker_;  // last: it uses everything above
};

}  // namespace pixpool
