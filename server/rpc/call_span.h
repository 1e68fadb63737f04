// The spans of one call.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/metrics/metrics.h"
#include "server/rpc/trace_context.h"
#include "server/tracing/tracer.h"

namespace pixpool {

struct ExtractResult;

// The span of a call that is sampled, and those of its stages. Not thread-safe.
class CallSpan {
 public:
  // nullopt: the call is not sampled. `tracer` outlives the span.
  static std::optional<CallSpan> Begin(Tracer* tracer, RpcMethod method,
                                       const std::optional<TraceContext>& caller, TimePoint now);

  // As the log and headers have them.
  std::string trace_id() const;
  std::string span_id() const;

  void AddStage(Stage stage, TimePoint begin, TimePoint end);
  // Those of the images of a result: each from where the first image is in it to where the last one
  // leaves it.
  void AddStages(const ExtractResult& result);

  void Note(std::string key, AttributeValue value) {
    span_.attributes.emplace_back(std::move(key), std::move(value));
  }

  // Hands the spans over; the last thing done to this one.
  void End(const absl::Status& status, TimePoint now);

 private:
  CallSpan(Tracer* tracer, RpcMethod method, const SpanPlace& place, TimePoint now);

  int64_t WallTime(TimePoint time) const;

  Tracer* tracer_;
  // The same moment by both clocks.
  TimePoint start_;
  std::chrono::system_clock::time_point wall_start_;
  Span span_;
  std::vector<Span> stages_;
};

}  // namespace pixpool
