#include "server/rpc/call.h"

#include <algorithm>

#include "server/base/text.h"
#include "server/rpc/status.h"

namespace pixpool {

TimePoint CallDeadline(std::chrono::system_clock::time_point wall_deadline,
                       std::chrono::system_clock::time_point wall_now, TimePoint now,
                       const CallOptions& options) {
  if (wall_deadline == std::chrono::system_clock::time_point::max()) {
    return now + options.default_deadline;
  }
  const auto left = std::chrono::duration_cast<TimeDuration>(wall_deadline - wall_now);
  return now + std::min(left, options.max_deadline);
}

CallRecord::CallRecord(RpcMethod method, const std::string& peer, Metrics* metrics,
                       const Clock* clock)
    : method_(method), metrics_(metrics), clock_(clock), start_(clock->Now()) {
  Note("method", RpcMethodName(method));
  Note("peer", peer);
}

void CallRecord::End(const absl::Status& status) {
  const double seconds = ToSeconds(clock_->Now() - start_);
  metrics_->RequestDone(method_, status.code(), seconds);
  Note("code", absl::StatusCodeToString(status.code()));
  if (!status.ok()) {
    Note("reason", ReasonText(status));
    Note("message", ToStd(status.message()));
  }
  Note("seconds", seconds);
  Log(absl::IsInternal(status) ? LogLevel::kError : LogLevel::kInfo, "request", fields_);
}

}  // namespace pixpool
