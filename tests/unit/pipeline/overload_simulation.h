// A server in simulated time: arrivals, Admission and WorkQueue as they are, and threads that take
// a given time for a picture. So the promises about overload are tested without a clock and without
// noise.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/work_queue.h"
#include "server/pipeline/work_times.h"

namespace pixpool {

// A kind of caller.
struct Callers {
  std::string name;
  Priority priority = Priority::kInteractive;
  double rate = 0;   // requests a second that come whatever the server does (Poisson); or
  double until = 0;  // so long alone, where it is above 0
  int closed_loop =
      0;  // callers that each wait for their answer, and after a refusal as they are told
  double returns = 0;    // where it is above 0, so many seconds after a refusal, whatever it said
  double deadline = 10;  // seconds
  double seconds = 0;    // that a picture takes; 0: as all
  int pictures = 1;      // of a request
};

// What came of them after the warm-up.
struct Outcome {
  int sent = 0;
  int refused = 0;
  int late = 0;                 // taken, but not answered in time
  std::vector<double> seconds;  // of each answer in time

  double Percentile(double p) const {
    if (seconds.empty()) return 0;
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(p * static_cast<double>(sorted.size() - 1))];
  }
};

class Simulation {
 public:
  // Threads and the mean time of a picture on one of them.
  Simulation(int threads, double service_seconds)
      : threads_(threads),
        service_seconds_(service_seconds),
        admission_(Limits(), threads, &clock_),
        queue_([this](int depth) { return admission_.has_backlog(depth); }) {}

  // The work of a picture takes `factor` as long from `at` on, as with fewer cores.
  void SlowDown(double at, double factor) {
    At(at, [this, factor] { factor_ = factor; });
  }

  void Add(const Callers& callers) {
    kinds_.push_back(callers);
    const size_t kind = kinds_.size() - 1;
    for (int i = 0; i < callers.closed_loop; ++i) At(0, [this, kind] { Arrive(kind); });
    if (callers.rate > 0) At(Gap(callers.rate), [this, kind] { Arrive(kind); });
  }

  // Runs for so many seconds; what was sent in the first `warm_up` does not count.
  void Run(double seconds, double warm_up) {
    warm_up_ = warm_up;
    while (!events_.empty() && events_.top().at <= seconds) {
      const Event event = events_.top();
      events_.pop();
      clock_.Advance(
          std::chrono::duration_cast<TimeDuration>(std::chrono::duration<double>(event.at - now_)));
      now_ = event.at;
      event.run();
    }
  }

  const Outcome& outcome(const std::string& name) { return outcomes_[name]; }
  // Answers in time a second between two times.
  double Rate(double from, double to) const {
    const auto in = [&](double t) { return t >= from && t < to; };
    return static_cast<double>(std::count_if(answers_.begin(), answers_.end(), in)) / (to - from);
  }

 private:
  struct Event {
    double at;
    int64_t number;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : number > other.number;
    }
  };
  struct Job {
    size_t kind;
    double sent;
    std::shared_ptr<CallContext> call;
    std::shared_ptr<Permit> permit;
    int left;  // of its pictures
    bool worked = true;
  };

  static AdmissionLimits Limits() { return {}; }

  void At(double at, std::function<void()> run) { events_.push({at, ++number_, std::move(run)}); }
  double Gap(double rate) { return std::exponential_distribution<double>(rate)(rng_) + now_; }

  void Arrive(size_t kind) {
    const Callers& callers = kinds_[kind];
    Outcome& outcome = outcomes_[callers.name];
    const bool counts = now_ >= warm_up_;
    if (callers.until > 0 && now_ > callers.until) return;
    if (callers.rate > 0) At(Gap(callers.rate), [this, kind] { Arrive(kind); });
    outcome.sent += counts;
    auto call = std::make_shared<CallContext>(
        clock_.Now() + std::chrono::duration_cast<TimeDuration>(
                           std::chrono::duration<double>(callers.deadline)),
        callers.priority, callers.name);
    const double seconds = SecondsOf(callers);
    auto permit = admission_.Acquire({.bytes = 1,
                                      .pixels = 1,
                                      .images = callers.pictures,
                                      .seconds = callers.pictures * seconds},
                                     *call);
    if (!permit.ok()) {
      outcome.refused += counts;
      if (callers.closed_loop > 0) {
        const absl::Duration told = GetErrorDetails(permit.status())->retry_after;
        const double pause = callers.returns > 0 ? callers.returns : absl::ToDoubleSeconds(told);
        At(now_ + pause, [this, kind] { Arrive(kind); });
      }
      return;
    }
    auto job = std::make_shared<Job>(
        Job{kind, now_, call, std::make_shared<Permit>(*std::move(permit)), callers.pictures});
    for (int i = 0; i < callers.pictures; ++i) {
      WorkQueue::Entry entry = {
          .priority = callers.priority, .caller = callers.name, .seconds = seconds};
      if (seconds >= kLongSeconds) entry.crew = {&queue_, threads_};
      entry.over = [this, call] { return call->Over(clock_.Now()); };
      entry.work = [this, job](const WorkQueue::Turn& turn) { Begin(job, turn); };
      queue_.Push(std::move(entry));
    }
    StartThreads();
  }

  double SecondsOf(const Callers& callers) const {
    return callers.seconds > 0 ? callers.seconds : service_seconds_;
  }

  void StartThreads() {
    while (busy_ < threads_ && queue_.ready()) {
      auto ready = queue_.Next();
      std::move(ready->work)(std::move(ready->turn));
    }
  }

  void Begin(const std::shared_ptr<Job>& job, const WorkQueue::Turn& turn) {
    if (!job->call->Check(clock_.Now(), "decode").ok()) return End(job, /*worked=*/false);
    ++busy_;
    std::uniform_real_distribution<double> spread(0.7, 1.3);
    const double seconds = SecondsOf(kinds_[job->kind]);
    At(now_ + seconds * factor_ * spread(rng_), [this, job, hold = turn.hold]() mutable {
      --busy_;
      hold.reset();
      End(job, /*worked=*/true);
      StartThreads();
    });
  }

  void End(const std::shared_ptr<Job>& job, bool worked) {
    const Callers& callers = kinds_[job->kind];
    admission_.Done(*job->call, SecondsOf(callers), worked, queue_.images());
    job->worked = job->worked && worked;
    if (--job->left > 0) return;
    worked = job->worked;
    job->permit->Release();
    Outcome& outcome = outcomes_[callers.name];
    const double took = now_ - job->sent;
    const bool in_time = worked && took <= callers.deadline;
    if (job->sent >= warm_up_) {
      if (in_time) outcome.seconds.push_back(took);
      outcome.late += !in_time;
    }
    if (in_time) answers_.push_back(now_);
    if (callers.closed_loop > 0) At(now_, [this, kind = job->kind] { Arrive(kind); });
  }

  const int threads_;
  const double service_seconds_;
  double factor_ = 1;
  FakeClock clock_;
  Admission admission_;
  WorkQueue queue_;
  std::mt19937 rng_{7};
  std::vector<Callers> kinds_;
  std::map<std::string, Outcome> outcomes_;
  std::vector<double> answers_;
  std::priority_queue<Event> events_;
  int64_t number_ = 0;
  double now_ = 0;
  double warm_up_ = 0;
  int busy_ = 0;
};

}  // namespace pixpool
