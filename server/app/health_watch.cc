#include "server/app/health_watch.h"

#include <utility>

namespace pixpool {

HealthWatch::HealthWatch(const HealthChecks* checks, Changed changed,
                         std::chrono::milliseconds period)
    : checks_(checks),
      changed_(std::move(changed)),
      ticker_("health", period, [this] { Look(); }) {}

void HealthWatch::Look() {
  absl::MutexLock lock(&mu_);
  const absl::Status now = checks_->Run();
  if (well_ == now.ok()) return;
  well_ = now.ok();
  changed_(now);
}

}  // namespace pixpool
