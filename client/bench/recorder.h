// Counts the answers of a run.
#pragma once

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/bench/result.h"
#include "client/bench/transport.h"

namespace pixpool::bench {

// Thread-safe. Memory is bounded whatever the length of the run: the timeline has at most
// kMaxIntervals parts, which grow.
class Recorder {
 public:
  static constexpr size_t kMaxIntervals = 120;

  // Requests that are to be sent from `measure_ns` on count; pictures answered up to `end_ns` are
  // the throughput (the largest number: up to the last answer).
  Recorder(const Load& load, int batch, int64_t measure_ns, int64_t end_ns);

  // One request at its end. `now_ns`: when that was.
  void Add(const Ticket& ticket, const absl::Status& status, const Answer& answer, int64_t now_ns);
  // One request that was never sent, as there was no room for it.
  void AddUnsent(const Ticket& ticket);

  uint64_t answered() const;
  uint64_t failed() const;
  // What was counted so far.
  Result Snapshot() const;

 private:
  Interval& IntervalOf(int64_t ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddFailure(bool of_image, const absl::Status& status, int64_t latency_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int batch_;
  const int64_t measure_ns_;
  const int64_t end_ns_;
  mutable absl::Mutex mu_;
  Result result_ ABSL_GUARDED_BY(mu_);
  int64_t interval_ns_ ABSL_GUARDED_BY(mu_);
  int64_t last_ns_ ABSL_GUARDED_BY(mu_);
  uint64_t answered_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t failed_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace pixpool::bench
