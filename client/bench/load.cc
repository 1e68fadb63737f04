#include "client/bench/load.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <optional>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "client/bench/recorder.h"
#include "client/bench/schedule.h"
#include "client/cpp/error.h"
#include "client/cpp/timer.h"

namespace pixpool::bench {
namespace {

constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
constexpr absl::Duration kProgress = absl::Milliseconds(200);
constexpr absl::Duration kMetricsTimeout = absl::Seconds(5);
// A caller of a closed loop that no server answered waits so long before its next request; else it
// would only measure how fast errors can be made.
constexpr absl::Duration kUnreachedPause = absl::Milliseconds(20);

std::unique_ptr<Transport> NewTransport(const TransportOptions& options, const Workload& workload,
                                        Transport::Done done) {
  return workload.options().stream ? NewStreamTransport(options, workload, std::move(done))
                                   : NewUnaryTransport(options, workload, std::move(done));
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return absl::ToDoubleSeconds(absl::DurationFromTimeval(usage.ru_utime) +
                               absl::DurationFromTimeval(usage.ru_stime));
}

// One run. The callers' threads are those of the transport.
class Run {
 public:
  Run(const RunOptions& options, const Workload& workload)
      : options_(options),
        load_(options.load),
        batch_(workload.options().batch),
        start_ns_(NowNs()),
        measure_ns_(start_ns_ + absl::ToInt64Nanoseconds(load_.warm_up)),
        end_ns_(load_.duration == absl::InfiniteDuration()
                    ? kForever
                    : measure_ns_ + absl::ToInt64Nanoseconds(load_.duration)),
        recorder_(load_, batch_, measure_ns_, end_ns_),
        transport_(NewTransport(options.transport, workload,
                                [this](const Ticket& ticket, const absl::Status& status,
                                       const Answer& answer) { OnDone(ticket, status, answer); })) {
  }

  Result Go() {
    const double cpu = CpuSeconds();
    std::thread observer([this] { Observe(); });
    if (load_.rate > 0) {
      SendOpenLoop();
    } else {
      SendClosedLoop();
    }
    Drain();
    const int64_t last_ns = NowNs();
    const double cpu_end = CpuSeconds();
    finished_.Notify();
    observer.join();
    Result result = recorder_.Snapshot();
    result.client_cpu_s = cpu_end - cpu;
    result.wall_s = static_cast<double>(last_ns - start_ns_) / 1e9;
    if (metrics_before_) {
      const auto after = FetchSamples(options_.metrics, kMetricsTimeout);
      if (after.ok()) result.server = Difference(*metrics_before_, *after);
    }
    return result;
  }

 private:
  // Gives a ticket for a request that is to be sent at `intended_ns`, or nullopt where the run is
  // over by then.
  std::optional<Ticket> Take(int64_t intended_ns) {
    if (intended_ns >= end_ns_ || stopped_) return std::nullopt;
    if (intended_ns >= measure_ns_ && load_.requests > 0 &&
        counted_.fetch_add(1) >= load_.requests) {
      return std::nullopt;
    }
    Ticket ticket;
    ticket.intended_ns = intended_ns;
    ticket.first_picture = next_picture_.fetch_add(static_cast<size_t>(batch_));
    return ticket;
  }

  void Send(const Ticket& ticket) {
    {
      absl::MutexLock lock(&mu_);
      ++in_flight_;
    }
    transport_->Send(ticket);
  }

  void SendOpenLoop() {
    Schedule schedule(load_.arrivals, load_.rate, load_.seed);
    // Requests that find no room are sent late, for at most as long as a request may take.
    const absl::Duration patience =
        (load_.duration == absl::InfiniteDuration() ? absl::InfiniteDuration()
                                                    : load_.warm_up + load_.duration) +
        options_.transport.timeout;
    const absl::Time give_up = absl::Now() + patience;
    while (const std::optional<Ticket> ticket = Take(start_ns_ + schedule.Next())) {
      const int64_t ahead = ticket->intended_ns - NowNs();
      if (ahead > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(ahead));
      bool room;
      {
        absl::MutexLock lock(&mu_);
        room = mu_.AwaitWithDeadline(absl::Condition(this, &Run::HasRoom), give_up);
      }
      if (room) {
        Send(*ticket);
      } else {
        recorder_.AddUnsent(*ticket);
      }
    }
  }

  // A caller's next request; false: the run is over for it.
  bool SendNext() {
    const std::optional<Ticket> ticket = Take(NowNs());
    if (!ticket) return false;
    Send(*ticket);
    return true;
  }

  void SendClosedLoop() {
    for (int i = 0; i < load_.concurrency; ++i) {
      if (!SendNext()) return;
    }
    uint64_t before = 0;
    while (!AwaitIdle(end_ns_ == kForever ? Patience() : absl::Nanoseconds(end_ns_ - NowNs()))) {
      // Without an end in time, the run is given up where nothing is answered: a stream has no
      // deadline of its own.
      const uint64_t now = recorder_.answered() + recorder_.failed();
      if (end_ns_ != kForever || now == before) return;
      before = now;
    }
  }

  void OnDone(const Ticket& ticket, const absl::Status& status, const Answer& answer) {
    recorder_.Add(ticket, status, answer, NowNs());
    if (load_.rate <= 0) {
      if (absl::IsUnavailable(status) && client::GetErrorDetails(status).reason.empty()) {
        client::Timer::Real()->After(kUnreachedPause, [this] {
          SendNext();
          Ended();
        });
        return;
      }
      SendNext();
    }
    Ended();
  }

  // After the caller's next request, so that the number does not pass through 0.
  void Ended() {
    absl::MutexLock lock(&mu_);
    --in_flight_;
  }

  // Waits for what is on its way; streams have no deadlines of their own.
  void Drain() {
    if (AwaitIdle(Patience())) return;
    stopped_ = true;
    transport_->Cancel();
    AwaitIdle(absl::InfiniteDuration());
  }

  // In this time every call has ended.
  absl::Duration Patience() const { return options_.transport.timeout + absl::Seconds(1); }

  bool AwaitIdle(absl::Duration timeout) {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(this, &Run::Idle), timeout);
  }

  // Reads the server's metrics when the counted time begins, and draws the progress.
  void Observe() {
    if (!options_.metrics.host.empty()) {
      if (finished_.WaitForNotificationWithTimeout(absl::Nanoseconds(measure_ns_ - NowNs()))) {
        return;
      }
      auto samples = FetchSamples(options_.metrics, kMetricsTimeout);
      if (samples.ok()) metrics_before_ = *std::move(samples);
    }
    while (!finished_.WaitForNotificationWithTimeout(kProgress)) {
      if (!options_.progress) continue;
      options_.progress({static_cast<double>(NowNs() - start_ns_) / 1e9,
                         end_ns_ == kForever ? 0 : static_cast<double>(end_ns_ - start_ns_) / 1e9,
                         recorder_.answered(), recorder_.failed()});
    }
  }

  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return in_flight_ == 0; }
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return in_flight_ < load_.max_in_flight;
  }

  const RunOptions& options_;
  const Load load_;
  const int batch_;
  const int64_t start_ns_;
  const int64_t measure_ns_;
  const int64_t end_ns_;
  Recorder recorder_;
  std::atomic<bool> stopped_ = false;
  std::atomic<int64_t> counted_ = 0;
  std::atomic<size_t> next_picture_ = 0;
  absl::Mutex mu_;
  int in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Notification finished_;
  std::optional<Samples> metrics_before_;  // of the observer until it has ended
  // The last one: its threads use all of the above.
  std::unique_ptr<Transport> transport_;
};

}  // namespace

absl::Status Probe(const TransportOptions& run, const Workload& workload, Totals& totals) {
  TransportOptions options = run;
  options.connections = 1;
  absl::Status result;
  absl::Notification done;
  const std::unique_ptr<Transport> transport =
      NewTransport(options, workload,
                   [&](const Ticket& ticket, const absl::Status& status, const Answer& answer) {
                     result = status;
                     totals.requests += static_cast<uint64_t>(ticket.attempts);
                     totals.requests_ok += status.ok();
                     totals.images += static_cast<uint64_t>(ticket.attempts) *
                                      static_cast<uint64_t>(workload.options().batch);
                     totals.images_ok += static_cast<uint64_t>(answer.images_ok);
                     done.Notify();
                   });
  Ticket ticket;
  ticket.intended_ns = NowNs();
  transport->Send(ticket);
  if (!done.WaitForNotificationWithTimeout(options.timeout + absl::Seconds(1))) {
    transport->Cancel();
    done.WaitForNotification();
  }
  return result;
}

Result RunLoad(const RunOptions& options, const Workload& workload) {
  return Run(options, workload).Go();
}

}  // namespace pixpool::bench
