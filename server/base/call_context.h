#pragma once

#include <atomic>

#include "absl/status/status.h"
#include "server/base/clock.h"

namespace pixpool {

// What the pipeline knows of the call behind a piece of work: when it stops being worth doing.
//
// Thread-safe. Shared between the RPC layer, which may cancel, and the pipeline's stages, which ask
// before they start something expensive.
class CallContext {
 public:
  explicit CallContext(TimePoint deadline) : deadline_(deadline) {}

  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  TimePoint deadline() const { return deadline_; }

  // OK while the work is worth doing, else CANCELLED or DEADLINE_EXCEEDED. `stage` is named in the
  // message: "decode", "batch" or "backbone".
  absl::Status Check(TimePoint now, const char* stage) const;

 private:
  const TimePoint deadline_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace pixpool
