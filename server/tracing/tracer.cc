#include "server/tracing/tracer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <random>
#include <utility>

#include "server/base/guarded.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/tracing/collector_tls.h"
#include "server/tracing/otlp_message.h"

namespace pixpool {
namespace {

// What is left to send spans in when the process ends.
constexpr std::chrono::seconds kLastSend(2);

template <typename Id>
Id NewId() {
  thread_local std::mt19937_64 random{[] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }()};
  Id id{};
  while (id == Id{}) {  // zeros are no id
    for (size_t i = 0; i < id.size(); i += sizeof(uint64_t)) {
      const uint64_t word = random();
      std::memcpy(id.data() + i, &word, sizeof(word));
    }
  }
  return id;
}

// As TraceIdRatioBased: the same decision wherever a trace is looked at.
bool IsWithin(double share, const TraceId& trace) {
  if (share >= 1) return true;
  uint64_t last = 0;
  for (size_t i = 8; i < trace.size(); ++i) last = last << 8 | trace[i];
  // As many bits as a double has.
  return static_cast<double>(last >> 11) < share * static_cast<double>(uint64_t{1} << 53);
}

// Without a query, which may hold a key.
std::string UrlOf(const TracingSettings& settings) {
  return Concat(settings.tls.on ? "https://" : "http://", settings.host, ":", settings.port,
                settings.path.substr(0, settings.path.find('?')));
}

}  // namespace

SpanId NewSpanId() { return NewId<SpanId>(); }

Tracer::Tracer(TracingSettings settings, std::string_view version, Metrics* metrics)
    : settings_(std::move(settings)),
      version_(version),
      metrics_(metrics),
      poster_(settings_),
      thread_([this] { Run(); }) {}

Tracer::~Tracer() {
  {
    const std::lock_guard<std::mutex> lock(mu_);
    stopping_ = true;
  }
  poster_.HurryUp(kLastSend);
  changed_.notify_one();
  thread_.join();
}

std::optional<SpanPlace> Tracer::Begin(const std::optional<RemoteSpan>& caller) const {
  SpanPlace place;
  if (caller) {
    place.trace = caller->trace;
    place.parent = caller->id;
    place.state = caller->state;
  } else {
    place.trace = NewId<TraceId>();
  }
  const Sampling& sampling = settings_.sampling;
  const bool sampled =
      caller && sampling.follows_caller ? caller->sampled : IsWithin(sampling.share, place.trace);
  if (!sampled) return std::nullopt;
  place.id = NewSpanId();
  return place;
}

void Tracer::Add(std::vector<Span> spans) {
  size_t taken = 0;
  bool full_batch = false;
  {
    const std::lock_guard<std::mutex> lock(mu_);
    taken = std::min(spans.size(), settings_.most_queued - queue_.size());
    for (size_t i = 0; i < taken; ++i) queue_.push_back(std::move(spans[i]));
    full_batch = queue_.size() >= settings_.most_in_batch;
  }
  if (full_batch) changed_.notify_one();
  if (taken < spans.size()) metrics_->SpansEnded(SpanEnd::kQueueFull, spans.size() - taken);
}

void Tracer::Run() {
  SetThreadName("tracing");
  bool last = false;
  while (!last) {
    std::vector<Span> batch;
    const absl::Status status = Guarded("tracing_failed", "spans were lost", [&] {
      std::unique_lock<std::mutex> lock(mu_);
      changed_.wait_for(lock, settings_.delay,
                        [this] { return stopping_ || queue_.size() >= settings_.most_in_batch; });
      const size_t count = std::min(queue_.size(), settings_.most_in_batch);
      batch.reserve(count);
      std::move(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count),
                std::back_inserter(batch));
      queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count));
      last = stopping_ && queue_.empty();
      lock.unlock();
      if (!batch.empty()) Send(batch);
      return absl::OkStatus();
    });
    if (!status.ok()) metrics_->SpansEnded(SpanEnd::kFailed, batch.size());
  }
}

void Tracer::Send(const std::vector<Span>& batch) {
  const absl::Status sent = poster_.Post(OtlpMessage(settings_.resource, version_, batch));
  metrics_->SpansEnded(sent.ok() ? SpanEnd::kSent : SpanEnd::kFailed, batch.size());
  if (sent.ok() == !failing_) return;
  failing_ = !sent.ok();
  if (failing_) {
    Log(LogLevel::kWarning, "tracing_failed",
        {{"collector", UrlOf(settings_)}, {"message", ToStd(sent.message())}});
  } else {
    Log(LogLevel::kInfo, "tracing_goes_on");
  }
}

absl::StatusOr<std::unique_ptr<Tracer>> StartTracer(std::string_view version, Metrics* metrics) {
  PIXPOOL_ASSIGN_OR_RETURN(TracingSettings settings, TracingFromEnvironment([](const char* name) {
                             return std::getenv(name);
                           }));
  if (!settings.on) return std::unique_ptr<Tracer>();
  // Read again for each connection; here they must be right for the server to start.
  if (settings.tls.on) PIXPOOL_RETURN_IF_ERROR(NewTlsContext(settings.tls).status());
  for (const std::string& warning : settings.warnings) {
    Log(LogLevel::kWarning, "configuration", {{"message", warning}});
  }
  Log(LogLevel::kInfo, "tracing", {{"collector", UrlOf(settings)}});
  return std::make_unique<Tracer>(std::move(settings), version, metrics);
}

}  // namespace pixpool
