#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/tls/options.h"
#include "server/tls/tls_files.h"

namespace pixpool {

// From when to when a certificate holds.
struct CertificateTimes {
  absl::Time begin;
  absl::Time end;
};

// Whether a server can serve with these: the chain and the key are PEM that OpenSSL takes, the key
// is the certificate's, and the client CA, where there is one, holds certificates, and no more than
// a handshake can name. Gives the times
// of the server's own certificate; that they include today is not asked, since an expired one
// still serves those who do not mind. Errors name the option, the file and the cause. Thread-safe.
absl::StatusOr<CertificateTimes> CheckTlsFiles(const TlsOptions& options, const TlsFiles& files);

}  // namespace pixpool
