#include "server/metrics/access_metrics.h"

#include <utility>

namespace pixpool {

AccessMetrics::AccessMetrics(prometheus::Registry* registry) {
  const auto gauge = [registry](const char* name, const char* help) {
    return &prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add({});
  };
  auto& reloads = prometheus::BuildCounter()
                      .Name("pixpool_tls_reloads_total")
                      .Help("Files of TLS that changed: taken, or refused and not served.")
                      .Register(*registry);
  tls_taken_ = &reloads.Add({{"outcome", "taken"}});
  tls_refused_ = &reloads.Add({{"outcome", "refused"}});
  tls_files_refused_ =
      gauge("pixpool_tls_files_refused",
            "1 while the files of TLS on the disk cannot be used and older ones serve.");
  tls_certificate_end_ = gauge("pixpool_tls_certificate_expiry_timestamp_seconds",
                               "When the certificate that is served expires; 0 without TLS.");
  tokens_refused_ =
      gauge("pixpool_tokens_refused",
            "1 while the file of tokens cannot be used and those before it are in force.");
  token_calls_ = &prometheus::BuildCounter()
                      .Name("pixpool_token_calls_total")
                      .Help("Calls that came in by a token, by its name.")
                      .Register(*registry);
}

void AccessMetrics::TokenCall(std::string_view name) {
  absl::MutexLock lock(&mu_);
  const auto found = calls_.find(name);
  if (found != calls_.end()) found->second->Increment();
}

void AccessMetrics::DeclareTokens(const std::vector<std::string>& names) {
  absl::MutexLock lock(&mu_);
  auto before = std::exchange(calls_, {});
  for (const std::string& name : names) {
    calls_[name] = &token_calls_->Add({{"token", name}});
    before.erase(name);
  }
  for (const auto& [name, counter] : before) token_calls_->Remove(counter);
}

}  // namespace pixpool
