// The files that tests/support/certificates.py makes, for the tests of this folder.
#pragma once

#include <string>

#include "server/tls/options.h"

namespace pixpool {

inline std::string CertificatePath(const std::string& name) {
  return std::string(PIXPOOL_TEST_CERTIFICATES) + "/" + name;
}

// Options of these files; no client CA where none is named.
inline TlsOptions Files(const std::string& certificate, const std::string& key,
                        const std::string& client_ca = "") {
  TlsOptions options;
  options.certificate = CertificatePath(certificate);
  options.key = CertificatePath(key);
  if (!client_ca.empty()) options.client_ca = CertificatePath(client_ca);
  return options;
}

}  // namespace pixpool
