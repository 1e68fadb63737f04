#include "server/app/health_watch.h"

#include <utility>

#include "absl/time/time.h"
#include "server/base/thread_pool.h"

namespace pixpool {

HealthWatch::HealthWatch(const HealthChecks* checks, Changed changed,
                         std::chrono::milliseconds period)
    : checks_(checks), changed_(std::move(changed)), period_(period), thread_([this] {
        SetThreadName("health");
        Run();
      }) {}

HealthWatch::~HealthWatch() {
  {
    absl::MutexLock lock(&stop_mu_);
    stop_ = true;
  }
  thread_.join();
}

void HealthWatch::Look() {
  absl::MutexLock lock(&mu_);
  const absl::Status now = checks_->Run();
  if (well_ == now.ok()) return;
  well_ = now.ok();
  changed_(now);
}

void HealthWatch::Run() {
  for (;;) {
    Look();
    absl::MutexLock lock(&stop_mu_);
    if (stop_mu_.AwaitWithTimeout(absl::Condition(&stop_), absl::FromChrono(period_))) return;
  }
}

}  // namespace pixpool
