#include "server/rpc/call_span.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/escaping.h"
#include "server/base/text.h"
#include "server/pipeline/request.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

template <typename Id>
Id IdOf(const std::string& hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  Id id{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), id.size()), id.begin());
  return id;
}

template <typename Id>
std::string HexOf(const Id& id) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

RemoteSpan RemoteOf(const TraceContext& caller) {
  const std::string flags = absl::HexStringToBytes(caller.flags);
  return {.trace = IdOf<TraceId>(caller.trace_id),
          .id = IdOf<SpanId>(caller.span_id),
          .sampled = (flags[0] & 1) != 0,
          .state = caller.state};
}

std::string_view ServiceOf(RpcMethod method) {
  return method < RpcMethod::kModelInfer ? "pixpool.v1.FeatureService"
                                         : "inference.GRPCInferenceService";
}

// As OpenTelemetry's conventions for gRPC have it: what is not the caller's fault.
bool IsServersFault(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::optional<CallSpan> CallSpan::Begin(Tracer* tracer, RpcMethod method,
                                        const std::optional<TraceContext>& caller, TimePoint now) {
  if (tracer == nullptr) return std::nullopt;
  std::optional<RemoteSpan> remote;
  if (caller) remote = RemoteOf(*caller);
  const std::optional<SpanPlace> place = tracer->Begin(remote);
  if (!place) return std::nullopt;
  return CallSpan(tracer, method, *place, now);
}

CallSpan::CallSpan(Tracer* tracer, RpcMethod method, const SpanPlace& place, TimePoint now)
    : tracer_(tracer), start_(now), wall_start_(std::chrono::system_clock::now()) {
  span_.trace = place.trace;
  span_.id = place.id;
  span_.parent = place.parent;
  span_.state = place.state;
  span_.of_server = true;
  if (IsPath(method)) {
    span_.name = std::string(RpcMethodName(method));
    Note("http.route", span_.name);
    return;
  }
  const std::string_view service = ServiceOf(method);
  span_.name = Concat(service, "/", RpcMethodName(method));
  Note("rpc.system", "grpc");
  Note("rpc.service", std::string(service));
  Note("rpc.method", std::string(RpcMethodName(method)));
}

std::string CallSpan::trace_id() const { return HexOf(span_.trace); }
std::string CallSpan::span_id() const { return HexOf(span_.id); }

int64_t CallSpan::WallTime(TimePoint time) const {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(wall_start_.time_since_epoch() +
                                                              (time - start_))
      .count();
}

void CallSpan::AddStage(Stage stage, TimePoint begin, TimePoint end) {
  Span& span = stages_.emplace_back();
  span.trace = span_.trace;
  span.id = NewSpanId();
  span.parent = span_.id;
  span.state = span_.state;
  span.name = std::string(StageName(stage));
  span.begin = WallTime(begin);
  span.end = WallTime(end);
}

void CallSpan::AddStages(const ExtractResult& result) {
  struct Times {
    TimePoint begin = TimePoint::max();
    TimePoint end = TimePoint::min();
  };
  std::array<Times, kStageCount> stages;
  for (const ImageFeatures& image : result.images) {
    // An image goes through them one after the other.
    TimePoint at = result.admitted;
    for (size_t s = 0; s < stages.size(); ++s) {
      if (image.times[s] == TimeDuration{}) continue;
      stages[s].begin = std::min(stages[s].begin, at);
      at += image.times[s];
      stages[s].end = std::max(stages[s].end, at);
    }
  }
  for (size_t s = 0; s < stages.size(); ++s) {
    if (stages[s].begin < stages[s].end) {
      AddStage(static_cast<Stage>(s), stages[s].begin, stages[s].end);
    }
  }
}

void CallSpan::End(const absl::Status& status, TimePoint now) {
  span_.begin = WallTime(start_);
  span_.end = WallTime(now);
  Note("rpc.grpc.status_code", static_cast<int64_t>(status.code()));
  if (!status.ok()) Note("error.type", std::string(ReasonText(status)));
  if (IsServersFault(status.code())) {
    span_.failed = true;
    span_.message = std::string(ReasonText(status));
  }
  // Times of an image that had several passes are sums, and passes may run side by side.
  for (Span& stage : stages_) stage.end = std::min(stage.end, span_.end);
  for (Span& stage : stages_) stage.begin = std::min(stage.begin, stage.end);
  stages_.push_back(std::move(span_));
  tracer_->Add(std::move(stages_));
}

}  // namespace pixpool
