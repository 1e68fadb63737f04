// Admission: the only place that can say "full".
#pragma once

#include <cstdint>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/pipeline/options.h"

namespace pixpool {

// What a request costs while it is in flight.
struct AdmissionCost {
  int64_t bytes = 0;   // of encoded and raw images; of a tensor with its answer
  int64_t pixels = 0;  // decoded pixels, from the headers
};

class Admission;

// The right to be in flight; returns its cost when destroyed. Movable. Must not outlive its
// Admission.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), cost_(other.cost_) {}
  Permit& operator=(Permit&& other) noexcept;
  ~Permit() { Release(); }
  void Release();

 private:
  friend class Admission;
  Permit(Admission* owner, AdmissionCost cost) : owner_(owner), cost_(cost) {}
  Admission* owner_ = nullptr;
  AdmissionCost cost_;
};

// Bounds requests, bytes and pixels in flight. Everything behind it holds at least as many entries
// as there are permits, so admitted work is never refused later. A request that alone is over a
// budget is admitted when nothing else is in flight: the limits of one request are checked
// elsewhere. Thread-safe, never blocks but in WaitUntilIdle.
class Admission {
 public:
  explicit Admission(AdmissionLimits limits) : limits_(limits) {}

  // Errors: OVERLOADED with retry_after; DRAINING after Close.
  absl::StatusOr<Permit> Acquire(AdmissionCost cost);

  // Lowers the ceilings of bytes and pixels; permits that are out stay out.
  void Lower(int64_t max_bytes, int64_t max_pixels);

  // From now on every Acquire fails with DRAINING.
  void Close();

  // Blocks until no permit is out, at most `timeout`. Returns whether that happened.
  bool WaitUntilIdle(absl::Duration timeout);

  struct Usage {
    int64_t requests = 0;
    int64_t bytes = 0;
    int64_t pixels = 0;
  };
  Usage usage() const;
  AdmissionLimits limits() const;

 private:
  friend class Permit;
  void Return(const AdmissionCost& cost);

  mutable absl::Mutex mu_;
  AdmissionLimits limits_ ABSL_GUARDED_BY(mu_);
  Usage usage_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pixpool
