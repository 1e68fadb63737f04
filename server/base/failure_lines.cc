#include "server/base/failure_lines.h"

#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

#include "server/base/guarded.h"

namespace pixpool {
namespace {

constexpr std::chrono::milliseconds kSecond(1'000);
constexpr int64_t kLines = 10;
// In place of a caller's name, of all those that are too many to be told apart.
constexpr char kOthers[] = "(others)";

int64_t LinesOf(bool flooded) { return flooded ? 1 : kLines; }

}  // namespace

bool FailureLines::Takes(FailureKind kind, LogLevel level) noexcept {
  try {
    absl::MutexLock lock(&mu_);
    if (seen_.size() >= kinds_ && !seen_.contains(kind)) kind.caller = kOthers;
    Seen& seen = seen_[std::move(kind)];
    seen.level = level;
    return ++seen.calls <= LinesOf(seen.flooded);
  } catch (...) {  // no memory
    return false;
  }
}

void FailureLines::EndSecond() {
  std::vector<std::pair<LogLevel, std::vector<LogField>>> lines;
  {
    absl::MutexLock lock(&mu_);
    for (auto at = seen_.begin(); at != seen_.end();) {
      auto& [kind, seen] = *at;
      const int64_t left_out = seen.calls - LinesOf(seen.flooded);
      if (left_out > 0) {
        std::vector<LogField> fields = {{"caller", kind.caller}, {"code", kind.code}};
        if (!kind.reason.empty()) fields.emplace_back("reason", kind.reason);
        fields.emplace_back("left_out", left_out);
        lines.emplace_back(seen.level, std::move(fields));
      }
      seen.flooded = seen.calls > kLines;
      seen.calls = 0;
      at = seen.flooded ? std::next(at) : seen_.erase(at);
    }
  }
  for (const auto& [level, fields] : lines) Log(level, "requests_left_out", fields);
}

void FailureLines::Start() {
  ticker_ = std::make_unique<Ticker>("log-failures", kSecond, [this] {
    Guarded("log_failed", "counts of calls were lost", [this] { EndSecond(); }).IgnoreError();
  });
}

void FailureLines::Stop() {
  ticker_.reset();
  EndSecond();
}

}  // namespace pixpool
