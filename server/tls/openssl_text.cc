#include "server/tls/openssl_text.h"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <new>

namespace pixpool {

std::string TakeOpenSslError() {
  const unsigned long code = ERR_peek_last_error();
  const char* const reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "OpenSSL does not say why" : reason;
}

OwnedBio ReadFrom(const std::string& text) {
  OwnedBio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (bio == nullptr) throw std::bad_alloc();
  return bio;
}

std::string TakeWritten(BIO* bio) {
  std::string text(BIO_ctrl_pending(bio), '\0');
  if (!text.empty()) BIO_read(bio, text.data(), static_cast<int>(text.size()));
  return text;
}

}  // namespace pixpool
