#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/log.h"
#include "server/base/ticker.h"

namespace pixpool {

// What failed calls have in common that are told together.
struct FailureKind {
  std::string caller;
  std::string code;
  std::string reason;
  auto operator<=>(const FailureKind&) const = default;
};

// Says which failed calls have a line in the log of their own, so that one who is refused and comes
// again at once cannot fill the disk: of each kind the first ten of a second. Those beyond are in a
// line of that second, `requests_left_out`, with their number. While there are such, a kind has one
// line of its own in a second, as an example.
//
// Thread-safe. Takes neither blocks nor fails.
class FailureLines {
 public:
  // `kinds`: how many are told apart in a second; those beyond are told by code and reason.
  explicit FailureLines(size_t kinds = 64) : kinds_(kinds) {}

  // Counts a failed call; whether it has its line. `level` is that of the line.
  bool Takes(FailureKind kind, LogLevel level) noexcept;

  // A second is over: tells what it left out.
  void EndSecond();

  // Ends seconds from now on, on a thread of its own.
  void Start();
  // Stops that, and tells what is left.
  void Stop();

 private:
  struct Seen {
    int64_t calls = 0;     // of this second
    bool flooded = false;  // the last second left some out
    LogLevel level = LogLevel::kInfo;
  };

  const size_t kinds_;
  absl::Mutex mu_;
  std::map<FailureKind, Seen> seen_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Ticker> ticker_;
};

}  // namespace pixpool
