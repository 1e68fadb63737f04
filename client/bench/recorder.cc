#include "client/bench/recorder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "client/cpp/error.h"

namespace pixpool::bench {
namespace {

constexpr int64_t kFirstInterval = 100 * 1000 * 1000;

}  // namespace

Recorder::Recorder(const Load& load, int batch, int64_t measure_ns, int64_t end_ns)
    : batch_(batch),
      measure_ns_(measure_ns),
      end_ns_(end_ns),
      interval_ns_(kFirstInterval),
      last_ns_(measure_ns) {
  result_.load = load;
}

Interval& Recorder::IntervalOf(int64_t ns) {
  const int64_t offset = std::max<int64_t>(0, ns - measure_ns_);
  std::vector<Interval>& timeline = result_.timeline;
  while (offset / interval_ns_ >= static_cast<int64_t>(kMaxIntervals)) {
    for (size_t i = 0; i < timeline.size(); ++i) {
      if (i % 2 == 0) {
        if (i > 0) timeline[i / 2] = std::move(timeline[i]);
        continue;
      }
      timeline[i / 2].latency.Merge(timeline[i].latency);
      timeline[i / 2].images += timeline[i].images;
      timeline[i / 2].failed += timeline[i].failed;
    }
    timeline.resize((timeline.size() + 1) / 2);
    interval_ns_ *= 2;
  }
  const size_t index = static_cast<size_t>(offset / interval_ns_);
  if (index >= timeline.size()) timeline.resize(index + 1);
  return timeline[index];
}

void Recorder::AddFailure(bool of_image, const absl::Status& status, int64_t latency_ns) {
  FailureCount& entry = result_.failures[{of_image, absl::StatusCodeToString(status.code()),
                                          client::GetErrorDetails(status).reason}];
  if (entry.count++ == 0) entry.example = std::string(status.message());
  entry.latency.Add(latency_ns);
}

void Recorder::Add(const Ticket& ticket, const absl::Status& status, const Answer& answer,
                   int64_t now_ns) {
  absl::MutexLock lock(&mu_);
  const bool ok = status.ok() && answer.failed_images.empty() && answer.images_ok > 0;
  ++(ok ? answered_ : failed_);
  Totals& totals = result_.totals;
  totals.requests += static_cast<uint64_t>(ticket.attempts);
  totals.retries += static_cast<uint64_t>(std::max(0, ticket.attempts - 1));
  totals.images += static_cast<uint64_t>(ticket.attempts) * static_cast<uint64_t>(batch_);
  const uint64_t images = status.ok() ? static_cast<uint64_t>(answer.images_ok) : 0;
  totals.requests_ok += status.ok();
  totals.images_ok += images;
  if (now_ns >= measure_ns_ && now_ns < end_ns_) {
    result_.window_images += images;
    IntervalOf(now_ns).images += images;
    last_ns_ = std::max(last_ns_, now_ns);
  }
  if (ticket.intended_ns < measure_ns_) return;

  result_.images_ok += images;
  result_.images_failed += static_cast<uint64_t>(batch_) - std::min<uint64_t>(images, batch_);
  // A stream that broke had not come to it.
  if (ticket.sent_ns > 0) result_.send_lag.Add(ticket.sent_ns - ticket.intended_ns);
  result_.response_bytes += answer.bytes;
  const int64_t latency = now_ns - ticket.intended_ns;
  if (!ok) {
    ++result_.requests_failed;
    ++IntervalOf(ticket.intended_ns).failed;
    if (!status.ok()) {
      AddFailure(false, status, latency);
    } else if (answer.failed_images.empty()) {
      AddFailure(false, absl::InternalError("the response holds no result"), latency);
    }
    for (const absl::Status& image : answer.failed_images) AddFailure(true, image, latency);
    return;
  }
  result_.latency.Add(latency);
  IntervalOf(ticket.intended_ns).latency.Add(latency);
  if (answer.stages) {
    for (size_t s = 0; s < kStageCount; ++s) result_.stages[s].Add((*answer.stages)[s]);
  }
}

void Recorder::AddUnsent(const Ticket& ticket) {
  absl::MutexLock lock(&mu_);
  ++failed_;
  if (ticket.intended_ns < measure_ns_) return;
  ++result_.requests_failed;
  ++result_.unsent;
  result_.images_failed += static_cast<uint64_t>(batch_);
  ++IntervalOf(ticket.intended_ns).failed;
  FailureCount& entry = result_.failures[{false, "CLIENT", "NOT_SENT"}];
  if (entry.count++ == 0) entry.example = "no room within --max-in-flight until the end";
}

uint64_t Recorder::answered() const {
  absl::MutexLock lock(&mu_);
  return answered_;
}

uint64_t Recorder::failed() const {
  absl::MutexLock lock(&mu_);
  return failed_;
}

Result Recorder::Snapshot() const {
  absl::MutexLock lock(&mu_);
  Result result = result_;
  const bool open_end = end_ns_ == std::numeric_limits<int64_t>::max();
  result.window_s = static_cast<double>((open_end ? last_ns_ : end_ns_) - measure_ns_) / 1e9;
  result.interval_s = static_cast<double>(interval_ns_) / 1e9;
  return result;
}

}  // namespace pixpool::bench
