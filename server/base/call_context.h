#pragma once

#include <atomic>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "server/base/clock.h"

namespace pixpool {

// Who waits for an answer: a person, or a job. Interactive work goes before bulk work.
enum class Priority { kInteractive, kBulk };

// What the pipeline knows of the call behind a piece of work: when it stops being worth doing, how
// urgent it is, and whose it is.
//
// Thread-safe. Shared between the RPC layer, which may cancel, and the pipeline's stages, which ask
// before they start something expensive.
class CallContext {
 public:
  // `caller` names those who share what the server gives to one: an address without its port, or an
  // identity.
  explicit CallContext(TimePoint deadline, Priority priority = Priority::kInteractive,
                       std::string caller = "")
      : deadline_(deadline), caller_(std::move(caller)), priority_(priority) {}

  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  TimePoint deadline() const { return deadline_; }
  const std::string& caller() const { return caller_; }

  // A request may say its priority itself, which is known later than its metadata. Only before the
  // call is handed to the pipeline.
  void set_priority(Priority priority) { priority_ = priority; }
  Priority priority() const { return priority_; }

  // Whether the work is not worth doing any more. Takes no memory.
  bool Over(TimePoint now) const { return now >= deadline_ || cancelled(); }

  // OK while the work is worth doing, else CANCELLED or DEADLINE_EXCEEDED. `stage` is named in the
  // message: "decode", "batch" or "backbone".
  absl::Status Check(TimePoint now, const char* stage) const;

 private:
  const TimePoint deadline_;
  const std::string caller_;
  Priority priority_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace pixpool
