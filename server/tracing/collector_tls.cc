#include "server/tracing/collector_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <new>

#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// `done` is what OpenSSL returned, 1 for success.
absl::Status Check(int done, const CollectorTls::File& file) {
  if (done == 1) return absl::OkStatus();
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return absl::InvalidArgumentError(Concat(
      file.variable, ": ", file.path, " cannot be used: ", reason == nullptr ? "no PEM" : reason));
}

// Nobody is there who could type it.
int NoPassword(char*, int, int, void*) { return -1; }

}  // namespace

void FreeTlsContext::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

absl::StatusOr<TlsContext> NewTlsContext(const CollectorTls& tls) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) throw std::bad_alloc();
  SSL_CTX* const ctx = context.get();
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_default_passwd_cb(ctx, &NoPassword);
  ERR_clear_error();
  if (tls.ca.path.empty()) {
    SSL_CTX_set_default_verify_paths(ctx);  // where there are none, no handshake succeeds
    ERR_clear_error();
  } else {
    PIXPOOL_RETURN_IF_ERROR(
        Check(SSL_CTX_load_verify_locations(ctx, tls.ca.path.c_str(), nullptr), tls.ca));
  }
  if (!tls.certificate.path.empty()) {
    PIXPOOL_RETURN_IF_ERROR(Check(
        SSL_CTX_use_certificate_chain_file(ctx, tls.certificate.path.c_str()), tls.certificate));
    PIXPOOL_RETURN_IF_ERROR(
        Check(SSL_CTX_use_PrivateKey_file(ctx, tls.key.path.c_str(), SSL_FILETYPE_PEM), tls.key));
  }
  return context;
}

absl::Status ExpectHost(ssl_st* connection, const std::string& host) {
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(connection);
  if (X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1) return absl::OkStatus();
  ERR_clear_error();
  // An address is no name to ask for.
  if (SSL_set1_host(connection, host.c_str()) == 1 &&
      SSL_set_tlsext_host_name(connection, host.c_str()) == 1) {
    return absl::OkStatus();
  }
  ERR_clear_error();
  return absl::InvalidArgumentError(Concat(host, " is no name of a host"));
}

std::string WhyNotTrusted(ssl_st* connection) {
  const long result = SSL_get_verify_result(connection);
  return result == X509_V_OK ? "" : X509_verify_cert_error_string(result);
}

}  // namespace pixpool
