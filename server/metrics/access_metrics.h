// The metrics of who may use the gRPC port, and who is refused. Internal to server/metrics.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/call_context.h"
#include "server/base/error.h"

namespace pixpool {

// Thread-safe.
class AccessMetrics {
 public:
  explicit AccessMetrics(prometheus::Registry* registry);

  // Those of Metrics.
  void Shed(ErrorReason reason, Priority priority, std::string_view token);
  void TokenCall(std::string_view name);
  void TokensRefused(bool refused) { tokens_refused_->Set(refused ? 1 : 0); }
  void DeclareTokens(const std::vector<std::string>& names);
  void TlsReload(bool taken) { (taken ? tls_taken_ : tls_refused_)->Increment(); }
  void TlsFilesRefused(bool refused) { tls_files_refused_->Set(refused ? 1 : 0); }
  void SetTlsCertificateEnd(double seconds) { tls_certificate_end_->Set(seconds); }

 private:
  prometheus::Counter* tls_taken_;
  prometheus::Counter* tls_refused_;
  prometheus::Gauge* tls_files_refused_;
  prometheus::Gauge* tls_certificate_end_;
  prometheus::Gauge* tokens_refused_;

  using ByPriority = std::array<prometheus::Counter*, kPriorityCount>;
  using ByReason = std::array<ByPriority, kErrorReasonCount>;
  ByPriority AddShed(std::string_view reason, std::string_view token);
  void DeclareShed(const std::vector<std::string>& names) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  prometheus::Family<prometheus::Counter>* shed_family_;
  ByReason shed_;  // without a token
  prometheus::Family<prometheus::Counter>* token_calls_;
  absl::Mutex mu_;
  // By name; those of the tokens in force.
  std::map<std::string, prometheus::Counter*, std::less<>> calls_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, ByReason, std::less<>> token_shed_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
