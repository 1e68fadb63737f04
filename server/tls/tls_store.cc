#include "server/tls/tls_store.h"

#include <utility>
#include <vector>

#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {

absl::StatusOr<std::unique_ptr<TlsStore>> TlsStore::Open(const TlsOptions& options,
                                                         Metrics* metrics) {
  PIXPOOL_ASSIGN_OR_RETURN(TlsFiles files, ReadTlsFiles(options));
  PIXPOOL_ASSIGN_OR_RETURN(const CertificateTimes times, CheckTlsFiles(options, files));
  std::unique_ptr<TlsStore> store(new TlsStore(options, metrics));
  store->Serve(std::move(files), times);
  return store;
}

TlsStore::Serving TlsStore::serving() const {
  absl::MutexLock lock(&mu_);
  return serving_;
}

void TlsStore::Look() {
  using News = Settling<TlsFiles>::News;
  absl::StatusOr<TlsFiles> now = ReadTlsFiles(options_);
  switch (settling_.Look(now, *serving().files)) {
    case News::kNone:
      return;
    case News::kAgain:
      return metrics_->TlsFilesRefused(false);
    case News::kSettled:
      break;
  }
  if (!now.ok()) return Refuse(now.status());
  const absl::StatusOr<CertificateTimes> times = CheckTlsFiles(options_, *now);
  if (!times.ok()) return Refuse(times.status());
  Serve(*std::move(now), *times);
  metrics_->TlsReload(true);
  metrics_->TlsFilesRefused(false);
  settling_.Taken();
}

void TlsStore::Serve(TlsFiles files, const CertificateTimes& times) {
  const absl::Time now = absl::Now();
  const bool good = times.begin <= now && now < times.end;
  std::vector<LogField> fields = {{"certificate", options_.certificate.value()},
                                  {"not_after", absl::FormatTime(times.end, absl::UTCTimeZone())},
                                  {"client_certificates", mutual()}};
  if (!good) {
    fields.emplace_back("message", times.begin > now ? "the certificate is not valid yet"
                                                     : "the certificate has expired");
  }
  Log(good ? LogLevel::kInfo : LogLevel::kWarning, "tls_files", fields);
  metrics_->SetTlsCertificateEnd(absl::ToDoubleSeconds(times.end - absl::UnixEpoch()));
  absl::MutexLock lock(&mu_);
  ++serving_.version;
  serving_.files = std::make_shared<const TlsFiles>(std::move(files));
}

void TlsStore::Refuse(const absl::Status& why) {
  Log(LogLevel::kWarning, "tls_files_refused", {{"message", ToStd(why.message())}});
  metrics_->TlsReload(false);
  metrics_->TlsFilesRefused(true);
}

}  // namespace pixpool
