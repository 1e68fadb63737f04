#include "server/base/call_context.h"

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {

absl::Status CallContext::Check(TimePoint now, const char* stage) const {
  ErrorDetails details;
  details.metadata = {{"stage", stage}};
  // First, because gRPC cancels a call whose deadline has passed: then the deadline is the cause.
  if (now >= deadline_) {
    details.reason = ErrorReason::kDeadlineInQueue;
    return MakeError(details, Concat("the deadline passed before ", stage,
                                     "; the work was not done, a retry needs more time"));
  }
  if (cancelled()) {
    details.reason = ErrorReason::kCancelled;
    return MakeError(details, Concat("the call was cancelled before ", stage));
  }
  return absl::OkStatus();
}

}  // namespace pixpool
