#include "server/metrics/access_metrics.h"

#include <utility>

namespace pixpool {
namespace {

constexpr std::array<ErrorReason, 4> kShedReasons = {
    ErrorReason::kOverloaded, ErrorReason::kQuotaExceeded, ErrorReason::kDraining,
    ErrorReason::kModelLoading};
// Those that are not the same for all callers.
constexpr std::array<ErrorReason, 2> kShedReasonsOfTokens = {ErrorReason::kOverloaded,
                                                             ErrorReason::kQuotaExceeded};

size_t Index(ErrorReason reason) { return static_cast<size_t>(reason); }

}  // namespace

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
  shed_family_ =
      &prometheus::BuildCounter()
           .Name("pixpool_requests_shed_total")
           .Help(
               "Requests refused at once, calls or images of streams: OVERLOADED for want of "
               "room or time and QUOTA_EXCEEDED by the caller's token, with its name where there "
               "is one, DRAINING and MODEL_LOADING while the server stops or starts.")
           .Register(*registry);
  shed_.fill(AddShed("OTHER", ""));
  for (const ErrorReason reason : kShedReasons) {
    shed_[Index(reason)] = AddShed(ReasonName(reason), "");
  }
}

AccessMetrics::ByPriority AccessMetrics::AddShed(std::string_view reason, std::string_view token) {
  ByPriority series{};
  for (size_t p = 0; p < kPriorityCount; ++p) {
    const std::string priority(PriorityName(static_cast<Priority>(p)));
    series[p] = &shed_family_->Add(
        {{"reason", std::string(reason)}, {"priority", priority}, {"token", std::string(token)}});
  }
  return series;
}

void AccessMetrics::Shed(ErrorReason reason, Priority priority, std::string_view token) {
  const auto p = static_cast<size_t>(priority);
  if (!token.empty()) {
    absl::MutexLock lock(&mu_);
    const auto found = token_shed_.find(token);
    prometheus::Counter* const counter =
        found == token_shed_.end() ? nullptr : found->second[Index(reason)][p];
    if (counter != nullptr) return counter->Increment();
  }
  shed_[Index(reason)][p]->Increment();
}

void AccessMetrics::DeclareShed(const std::vector<std::string>& names) {
  auto before = std::exchange(token_shed_, {});
  for (const std::string& name : names) {
    for (const ErrorReason reason : kShedReasonsOfTokens) {
      token_shed_[name][Index(reason)] = AddShed(ReasonName(reason), name);
    }
    before.erase(name);
  }
  for (const auto& [name, reasons] : before) {
    for (const ErrorReason reason : kShedReasonsOfTokens) {
      for (prometheus::Counter* const counter : reasons[Index(reason)]) {
        shed_family_->Remove(counter);
      }
    }
  }
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
  DeclareShed(names);
}

}  // namespace pixpool
