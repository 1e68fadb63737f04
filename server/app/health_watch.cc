#include "server/app/health_watch.h"

#include <utility>

#include "server/base/log.h"
#include "server/base/text.h"

namespace pixpool {

void LogHealth(const char* what, const absl::Status& now) {
  if (now.ok()) {
    Log(LogLevel::kInfo, Concat(what, "_again"));
  } else {
    Log(LogLevel::kWarning, Concat("not_", what), {{"message", ToStd(now.message())}});
  }
}

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
