#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/base/settling.h"
#include "server/metrics/metrics.h"
#include "server/tls/options.h"
#include "server/tls/tls_check.h"
#include "server/tls/tls_files.h"

namespace pixpool {

// The files that new connections are served with, which follow those on the disk. A set of files
// takes the place of the one before only as a whole, and only where it can serve; otherwise the
// old one serves on, and log and metrics say why. Files that are being written are not judged: a
// set must have been the same at two looks. Thread-safe.
class TlsStore {
 public:
  // Reads and checks the files. `metrics` must outlive the store.
  static absl::StatusOr<std::unique_ptr<TlsStore>> Open(const TlsOptions& options,
                                                        Metrics* metrics);

  // Looks whether the files on the disk have changed. Call every second or so, from one thread.
  void Look();

  struct Serving {
    int64_t version = 0;  // another one for each set, and never 0
    std::shared_ptr<const TlsFiles> files;
  };
  Serving serving() const;

  // Whether clients need a certificate.
  bool mutual() const { return !options_.client_ca.value().empty(); }

 private:
  TlsStore(const TlsOptions& options, Metrics* metrics) : options_(options), metrics_(metrics) {}

  // Serves with `files` from here on.
  void Serve(TlsFiles files, const CertificateTimes& times);
  void Refuse(const absl::Status& why);

  const TlsOptions options_;
  Metrics* const metrics_;
  Settling<TlsFiles> settling_;  // of the thread that looks

  mutable absl::Mutex mu_;
  Serving serving_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
