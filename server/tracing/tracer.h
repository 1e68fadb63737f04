// Sends spans to a collector by OTLP over HTTP.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "server/metrics/metrics.h"
#include "server/tracing/http_post.h"
#include "server/tracing/settings.h"
#include "server/tracing/span.h"

namespace pixpool {

// The span of another process that a call belongs to.
struct RemoteSpan {
  TraceId trace{};
  SpanId id{};
  bool sampled = false;
  std::string state;  // its `tracestate`
};

// Where a span that is being made stands.
struct SpanPlace {
  TraceId trace{};
  SpanId id{};
  SpanId parent{};
  std::string state;
};

SpanId NewSpanId();

// Decides which calls are traced, and sends their spans from a thread of its own, in batches.
//
// Thread-safe. Add never blocks: what the collector does not take in time is dropped and counted
// (Metrics::SpansEnded). The log says when sending begins to fail and when it goes on. The
// destructor sends what is queued, for two seconds at most (beyond that it waits for the lookup of
// the collector's name, which cannot be broken off), and joins.
class Tracer {
 public:
  // `settings.on`. `version`: of the server. `metrics` must outlive it. Throws std::system_error
  // where there is no thread.
  Tracer(TracingSettings settings, std::string_view version, Metrics* metrics);
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  // The place of a call's span, in its caller's trace or a new one; nullopt: the call is not
  // sampled.
  std::optional<SpanPlace> Begin(const std::optional<RemoteSpan>& caller) const;

  void Add(std::vector<Span> spans);

 private:
  void Run();
  void Send(const std::vector<Span>& batch);

  const TracingSettings settings_;
  const std::string version_;
  Metrics* const metrics_;
  HttpPoster poster_;     // the thread's
  bool failing_ = false;  // the thread's: what was sent last

  // absl's timed waits follow the wall clock, which may jump.
  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<Span> queue_;  // guarded by mu_
  bool stopping_ = false;   // guarded by mu_
  std::thread thread_;      // last: it uses everything above
};

// As the environment says; null where nothing is to be traced.
absl::StatusOr<std::unique_ptr<Tracer>> StartTracer(std::string_view version, Metrics* metrics);

}  // namespace pixpool
