#include "server/rpc/guard.h"

#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/log.h"

namespace pixpool {

void LogThrown(const char* what) noexcept {
  try {
    Log(LogLevel::kError, "call_failed", {{"what", what}});
  } catch (...) {  // NOLINT(bugprone-empty-catch): a line less, when there is no memory for it
  }
}

absl::Status ThrownStatus(Thrown thrown) {
  if (thrown == Thrown::kNoMemory) return NoMemoryError();
  return MakeError(ErrorReason::kInferenceFailed, "internal error");
}

}  // namespace pixpool
