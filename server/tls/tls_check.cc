#include "server/tls/tls_check.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/tls/openssl_text.h"

namespace pixpool {
namespace {

// What is wrong with a file of an option.
template <typename File>
absl::Status Wrong(const File& file, std::string_view why) {
  return absl::InvalidArgumentError(Concat(file.flag(), " ", file.value(), ": ", why));
}

// A server names to each client all whose signature it takes, in a message whose length TLS bounds
// by 65,535 bytes (RFC 8446, 4.2.4). What is left is for what else stands in it, such as the name
// of the server's own probe.
constexpr int kMostNameBytes = 60'000;

template <typename File>
absl::Status CheckText(const File& file, const std::string& text) {
  if (text.find('\0') == text.npos) return absl::OkStatus();
  return Wrong(file,
               "is no PEM but bytes: convert it (openssl x509 -inform der, openssl pkey "
               "-inform der)");
}

// The certificates of a file, at least one.
template <typename File>
absl::StatusOr<std::vector<OwnedCertificate>> Certificates(const File& file,
                                                           const std::string& text) {
  PIXPOOL_RETURN_IF_ERROR(CheckText(file, text));
  const OwnedBio bio = ReadFrom(text);
  std::vector<OwnedCertificate> certificates;
  while (X509* const one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(one);
  }
  // The end of the text reads as the lack of another beginning.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string error = TakeOpenSslError();
  if (!at_end) return Wrong(file, Concat("has a certificate that cannot be read: ", error));
  if (certificates.empty()) return Wrong(file, "holds no certificate in PEM");
  return certificates;
}

absl::Status CheckClientCa(const TlsOptions& options, const std::string& text) {
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<OwnedCertificate> trusted,
                           Certificates(options.client_ca, text));
  int bytes = 0;
  for (const OwnedCertificate& one : trusted) {
    bytes += 2 + i2d_X509_NAME(X509_get_subject_name(one.get()), nullptr);
  }
  if (bytes <= kMostNameBytes) return absl::OkStatus();
  return Wrong(options.client_ca,
               Concat("the names of its ", trusted.size(), " certificates take ", bytes,
                      " bytes, over the ", kMostNameBytes,
                      " that a handshake has room for: keep those that sign clients' alone"));
}

// Called where a key is encrypted: there is nobody to ask.
int NoPassword(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

absl::StatusOr<OwnedKey> Key(const TlsOptions& options, const std::string& text) {
  PIXPOOL_RETURN_IF_ERROR(CheckText(options.key, text));
  const OwnedBio bio = ReadFrom(text);
  bool encrypted = false;
  OwnedKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassword, &encrypted));
  const std::string error = TakeOpenSslError();
  if (key != nullptr) return key;
  if (encrypted) {
    return Wrong(options.key,
                 "is encrypted, and nobody is there to give its password: decrypt it "
                 "(openssl pkey -in FILE -out FILE)");
  }
  return Wrong(options.key, Concat("holds no private key in PEM that can be read: ", error));
}

absl::Time TimeOf(const ASN1_TIME* time) {
  tm parts = {};
  ASN1_TIME_to_tm(time, &parts);
  return absl::FromTM(parts, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<CertificateTimes> CheckTlsFiles(const TlsOptions& options, const TlsFiles& files) {
  ERR_clear_error();
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<OwnedCertificate> chain,
                           Certificates(options.certificate, files.certificate));
  PIXPOOL_ASSIGN_OR_RETURN(const OwnedKey key, Key(options, files.key));
  if (!options.client_ca.value().empty()) {
    PIXPOOL_RETURN_IF_ERROR(CheckClientCa(options, files.client_ca));
  }
  X509* const own = chain.front().get();
  if (X509_check_private_key(own, key.get()) != 1) {
    ERR_clear_error();
    return Wrong(options.key, Concat("is not the key of the first certificate in ",
                                     options.certificate.flag(), " ", options.certificate.value()));
  }
  // What a server of OpenSSL has against them, such as keys that are too short.
  const OwnedContext context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) throw std::bad_alloc();
  for (size_t i = 0; i < chain.size(); ++i) {
    X509* const certificate = chain[i].get();
    const bool taken = i == 0 ? SSL_CTX_use_certificate(context.get(), certificate) == 1
                              : SSL_CTX_add1_chain_cert(context.get(), certificate) == 1;
    if (!taken) return Wrong(options.certificate, Concat("cannot be used: ", TakeOpenSslError()));
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    return Wrong(options.key, Concat("cannot be used: ", TakeOpenSslError()));
  }
  return CertificateTimes{.begin = TimeOf(X509_get0_notBefore(own)),
                          .end = TimeOf(X509_get0_notAfter(own))};
}

}  // namespace pixpool
