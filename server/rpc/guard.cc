#include "server/rpc/guard.h"

#include "absl/time/time.h"
#include "server/base/error.h"
#include "server/base/log.h"

namespace pixpool {

void LogThrown(const char* what) noexcept {
  try {
    Log(LogLevel::kError, "call_failed", {{"what", what}});
  } catch (...) {  // NOLINT(bugprone-empty-catch): a line less, when there is no memory for it
  }
}

absl::Status ThrownStatus(Thrown thrown) {
  if (thrown != Thrown::kNoMemory) {
    return MakeError(ErrorReason::kInferenceFailed, "internal error");
  }
  return MakeError({.reason = ErrorReason::kOverloaded, .retry_after = absl::Seconds(1)},
                   "the server has no memory left for this call; try again in 1s");
}

}  // namespace pixpool
