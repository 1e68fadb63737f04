// What every call shares: its deadline, its log line, its place in the metrics.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "grpc/support/time.h"
#include "grpcpp/server_context.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/log_sample.h"
#include "server/metrics/metrics.h"
#include "server/rpc/call_span.h"
#include "server/rpc/options.h"
#include "server/rpc/trace_context.h"

namespace pixpool {

// What gRPC says of a call's deadline, by the wall clock. time_point::max(): none; what is further
// than the type reaches is its last hour.
std::chrono::system_clock::time_point WallDeadline(gpr_timespec deadline);

// The steady-clock deadline of a call, given its deadline by the wall clock (time_point::max():
// none) and the time by both clocks: its own if it has one, cut to the maximum, else the default.
TimePoint CallDeadline(std::chrono::system_clock::time_point wall_deadline,
                       std::chrono::system_clock::time_point wall_now, TimePoint now,
                       const CallOptions& options);

// Whose a call is (see CallerOf).
struct Caller {
  std::string name;
  std::shared_ptr<const CallerTerms> terms;  // null: those of all
};

// Where a call comes from, as its log line says it.
struct CallOrigin {
  std::string peer;                   // gRPC's name of the other end: "ipv4:10.0.0.7:52100"
  std::string caller;                 // see CallerOf
  std::optional<TraceContext> trace;  // of a single valid `traceparent` header
};

CallOrigin OriginOf(const grpc::ServerContextBase& context, std::string caller);

class CallWatch;
class Pipeline;
class TokenStore;

// What the calls of a service share. Does not own anything.
struct CallDeps {
  const CallOptions* options = nullptr;
  const std::string* caller_header = nullptr;  // see CallerOf
  const TokenStore* tokens = nullptr;          // null: calls need none
  Pipeline* pipeline = nullptr;
  Metrics* metrics = nullptr;
  const Clock* clock = nullptr;
  CallWatch* watch = nullptr;
  LogSample* log = nullptr;  // null: every call has its line
  Tracer* tracer = nullptr;  // null: calls have no spans
};

// What the pipeline is to know of a call, or of one message of a stream that has just come in: its
// allowance of time begins now.
std::shared_ptr<CallContext> NewCallContext(const grpc::ServerContextBase& context,
                                            const CallDeps& deps, const Caller& caller,
                                            Priority priority);

// Counts and logs one call, once, at its end. Not thread-safe.
class CallRecord {
 public:
  // Keeps what `deps` points to.
  CallRecord(RpcMethod method, const CallOrigin& origin, const CallDeps& deps);

  // Adds a field to the call's log line.
  template <typename T>
  void Note(std::string_view key, const T& value) {
    fields_.emplace_back(key, value);
  }

  // Of a call for work; the last one given is in the line.
  void SetPriority(Priority priority) { priority_ = priority; }

  // Of a call whose model is known; of a stream the last one that it asked.
  void SetModel(std::shared_ptr<ModelMetrics> model) { model_ = std::move(model); }
  ModelMetrics& model() const { return model_ != nullptr ? *model_ : metrics_->no_model(); }

  void TraceModel(const std::string& name, const std::string& version) {
    if (!span_) return;
    span_->Note("pixpool.model", name);
    span_->Note("pixpool.model_version", version);
  }
  // What the images of a result went through, for the trace.
  void TraceStages(const ExtractResult& result) {
    if (span_) span_->AddStages(result);
  }
  void TraceStage(Stage stage, TimePoint begin, TimePoint end) {
    if (span_) span_->AddStage(stage, begin, end);
  }

  // Of a call that is to count as failed in the log, whatever its status: an image of it did.
  void SetFailed() { failed_ = true; }

  // Counts the call under the status that was sent and writes its line, if it has one. Throws
  // nothing: without memory there is no line.
  void End(const absl::Status& status) noexcept;

  // Counts and logs that the answer of a call that has ended well was dropped, since its client did
  // not read it in its time. Throws nothing.
  void AnswerUnread(int64_t bytes) noexcept;

 private:
  // Whether the call has its line.
  bool HasLine(const absl::Status& status, LogLevel level) const;

  const RpcMethod method_;
  const std::string caller_;
  Metrics* const metrics_;
  const Clock* const clock_;
  LogSample* const sample_;
  const TimePoint start_;
  bool failed_ = false;
  std::optional<CallSpan> span_;  // where it is sampled
  std::optional<Priority> priority_;
  std::shared_ptr<ModelMetrics> model_;  // null: not known, or there is none
  std::vector<LogField> fields_;
};

}  // namespace pixpool
