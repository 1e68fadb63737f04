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
  token_refusals_ = &prometheus::BuildCounter()
                         .Name("pixpool_token_quota_refusals_total")
                         .Help("Requests refused because a token allows no more, by its name.")
                         .Register(*registry);
}

void AccessMetrics::Count(const Counters& counters, std::string_view name) {
  const auto found = counters.find(name);
  if (found != counters.end()) found->second->Increment();
}

void AccessMetrics::TokenCall(std::string_view name) {
  absl::MutexLock lock(&mu_);
  Count(calls_, name);
}

void AccessMetrics::TokenRefused(std::string_view name) {
  absl::MutexLock lock(&mu_);
  Count(refusals_, name);
}

void AccessMetrics::Declare(const std::vector<std::string>& names,
                            prometheus::Family<prometheus::Counter>* family, Counters* counters) {
  Counters before = std::exchange(*counters, {});
  for (const std::string& name : names) {
    (*counters)[name] = &family->Add({{"token", name}});
    before.erase(name);
  }
  for (const auto& [name, counter] : before) family->Remove(counter);
}

void AccessMetrics::DeclareTokens(const std::vector<std::string>& names) {
  absl::MutexLock lock(&mu_);
  Declare(names, token_calls_, &calls_);
  Declare(names, token_refusals_, &refusals_);
}

}  // namespace pixpool
