#include "server/base/health_checks.h"

#include "server/base/text.h"

namespace pixpool {

void HealthChecks::Add(std::string name, Check check) {
  absl::MutexLock lock(&mu_);
  checks_.emplace_back(std::move(name), std::move(check));
}

absl::Status HealthChecks::Run() const {
  std::string failures;
  absl::ReaderMutexLock lock(&mu_);
  for (const auto& [name, check] : checks_) {
    const absl::Status status = check();
    if (status.ok()) continue;
    failures += Concat(failures.empty() ? "" : "; ", name, ": ", status.message());
  }
  return failures.empty() ? absl::OkStatus() : absl::UnavailableError(failures);
}

}  // namespace pixpool
