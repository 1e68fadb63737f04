// OpenSSL's words and objects. Internal to server/tls.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

namespace pixpool {

template <typename T, void (*kFree)(T*)>
struct OpenSslFree {
  void operator()(T* object) const { kFree(object); }
};
using OwnedCertificate = std::unique_ptr<X509, OpenSslFree<X509, &X509_free>>;
using OwnedKey = std::unique_ptr<EVP_PKEY, OpenSslFree<EVP_PKEY, &EVP_PKEY_free>>;
using OwnedContext = std::unique_ptr<SSL_CTX, OpenSslFree<SSL_CTX, &SSL_CTX_free>>;
using OwnedBio = std::unique_ptr<BIO, OpenSslFree<BIO, &BIO_free_all>>;

// What OpenSSL says of the last failure on this thread, such as "key values mismatch"; forgets it.
std::string TakeOpenSslError();

// A BIO that reads `text`, which must outlive it.
OwnedBio ReadFrom(const std::string& text);

// All that was written to a memory BIO since the last call.
std::string TakeWritten(BIO* bio);

}  // namespace pixpool
