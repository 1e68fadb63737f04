#include "server/rpc/call.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "server/base/text.h"
#include "server/rpc/guard.h"
#include "server/rpc/priority.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

// More than the wall clock is ever slewed by within a call's first steps.
constexpr auto kClockJump = std::chrono::milliseconds(100);

}  // namespace

std::chrono::system_clock::time_point WallDeadline(gpr_timespec deadline) {
  using Clock = std::chrono::system_clock;
  // gRPC keeps it by its monotonic clock.
  deadline = gpr_convert_clock_type(deadline, GPR_CLOCK_REALTIME);
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) {
    return Clock::time_point::max();
  }
  // gRPC's own conversion overflows there: such a call would be over before it began.
  const auto last = Clock::time_point::max() - std::chrono::hours(1);
  if (deadline.tv_sec >= Clock::to_time_t(last)) return last;
  return Clock::from_time_t(deadline.tv_sec) +
         std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(deadline.tv_nsec));
}

TimePoint CallDeadline(std::chrono::system_clock::time_point wall_deadline,
                       std::chrono::system_clock::time_point wall_now, TimePoint now,
                       const CallOptions& options) {
  if (wall_deadline == std::chrono::system_clock::time_point::max()) {
    return now + options.default_deadline.value();
  }
  const auto left = std::chrono::duration_cast<TimeDuration>(wall_deadline - wall_now);
  return now + std::min<TimeDuration>(left, options.max_deadline.value());
}

CallOrigin OriginOf(const grpc::ServerContextBase& context, std::string caller) {
  CallOrigin origin{.peer = context.peer(), .caller = std::move(caller), .trace = std::nullopt};
  const auto [begin, end] = context.client_metadata().equal_range(kTraceMetadata);
  // Two would be two callers; neither can be trusted to be the right one.
  if (begin != end && std::next(begin) == end) {
    origin.trace = ParseTraceParent(std::string_view(begin->second.data(), begin->second.size()));
  }
  if (origin.trace) {
    std::vector<std::string_view> states;
    const auto [first, last] = context.client_metadata().equal_range(kTraceStateMetadata);
    for (auto at = first; at != last; ++at) {
      states.emplace_back(at->second.data(), at->second.size());
    }
    origin.trace->state = JoinTraceState(states);
  }
  return origin;
}

std::shared_ptr<CallContext> NewCallContext(const grpc::ServerContextBase& context,
                                            const CallDeps& deps, const Caller& caller,
                                            Priority priority) {
  // gRPC gives the deadline by the wall clock. Where that jumps while it is read, which shows in
  // what the steady clock says of the same time, it is read again.
  for (;;) {
    const auto wall = std::chrono::system_clock::now();
    const auto steady = std::chrono::steady_clock::now();
    const auto wall_deadline = WallDeadline(context.raw_deadline());
    const TimePoint deadline = CallDeadline(wall_deadline, wall, deps.clock->Now(), *deps.options);
    const auto jump =
        std::chrono::system_clock::now() - wall - (std::chrono::steady_clock::now() - steady);
    if (jump > kClockJump || jump < -kClockJump) continue;
    return std::make_shared<CallContext>(deadline, priority, caller.name, caller.terms);
  }
}

CallRecord::CallRecord(RpcMethod method, const CallOrigin& origin, const CallDeps& deps)
    : method_(method),
      caller_(origin.caller),
      metrics_(deps.metrics),
      clock_(deps.clock),
      sample_(deps.log),
      start_(deps.clock->Now()),
      span_(CallSpan::Begin(deps.tracer, method, origin.trace, start_)) {
  Note("method", RpcMethodName(method));
  Note("peer", origin.peer);
  Note("caller", origin.caller);
  // Names of OpenTelemetry's "Trace Context in non-OTLP Log Formats", so that its tools link line
  // and trace. The span is the call's own where it has one, else the caller's.
  if (span_) {
    Note("trace_id", span_->trace_id());
    Note("span_id", span_->span_id());
    Note("trace_flags", "01");
  } else if (origin.trace) {
    Note("trace_id", origin.trace->trace_id);
    Note("span_id", origin.trace->span_id);
    Note("trace_flags", origin.trace->flags);
  }
}

bool CallRecord::HasLine(const absl::Status& status, LogLevel level) const {
  if (sample_ == nullptr) return true;
  if (status.ok() && !failed_) return sample_->TakesGood();
  return sample_->TakesFailed({.caller = caller_,
                               .code = absl::StatusCodeToString(status.code()),
                               .reason = status.ok() ? "failed_images" : ReasonText(status)},
                              level);
}

void CallRecord::End(const absl::Status& status) noexcept {
  const TimePoint now = clock_->Now();
  const double seconds = ToSeconds(now - start_);
  model().RequestDone(method_, status.code(), seconds);
  if (span_) {
    Guard([&] { span_->End(status, now); }).IgnoreError();
    span_.reset();
  }
  const LogLevel level = absl::IsInternal(status) ? LogLevel::kError : LogLevel::kInfo;
  const absl::Status thrown = Guard([&] {
    if (!HasLine(status, level)) return;
    if (priority_) Note("priority", PriorityName(*priority_));
    Note("code", absl::StatusCodeToString(status.code()));
    if (!status.ok()) {
      Note("reason", ReasonText(status));
      Note("message", ToStd(status.message()));
    }
    Note("seconds", seconds);
    const bool good = status.ok() && !failed_;
    if (good && sample_ != nullptr && sample_->every() != 1) Note("one_of", sample_->every());
    Log(level, "request", fields_);
  });
  thrown.IgnoreError();  // logged, if anything can be
}

void CallRecord::AnswerUnread(int64_t bytes) noexcept {
  metrics_->AnswerDropped();
  const absl::Status thrown = Guard([&] {
    Note("bytes", bytes);
    Log(LogLevel::kInfo, "answer_unread", fields_);
  });
  thrown.IgnoreError();  // logged, if anything can be
}

}  // namespace pixpool
