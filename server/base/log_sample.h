// Which calls have a line in the log (--log-requests).
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "server/base/failure_lines.h"

namespace pixpool {

// Of calls that went well: each `every`th, none where it is 0. Of those that failed: those that
// FailureLines takes. Thread-safe.
class LogSample {
 public:
  // "all", "failed" or "1/N" with an N of 1 to 1,000,000; nullopt for anything else.
  static std::optional<int64_t> Every(std::string_view which);

  // `which` that Every knows.
  explicit LogSample(std::string_view which) : every_(Every(which).value_or(1)) {}

  // Counts a call that went well at its end; whether it has its line.
  bool TakesGood() {
    if (every_ == 1) return true;
    return every_ != 0 && good_.fetch_add(1, std::memory_order_relaxed) % every_ == 0;
  }
  // The same of one that failed.
  bool TakesFailed(FailureKind kind, LogLevel level) {
    return failures_.Takes(std::move(kind), level);
  }

  // How many calls a line of one that went well stands for.
  int64_t every() const { return every_; }
  FailureLines& failures() { return failures_; }

 private:
  const int64_t every_;
  std::atomic<int64_t> good_{0};
  FailureLines failures_;
};

}  // namespace pixpool
