#include "server/tls/probe_identity.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <new>
#include <string_view>
#include <utility>

#include "server/base/text.h"
#include "server/tls/openssl_text.h"

namespace pixpool {
namespace {

using OwnedSsl = std::unique_ptr<SSL, OpenSslFree<SSL, &SSL_free>>;

class TlsWire final : public ProbeWire {
 public:
  explicit TlsWire(SSL_CTX* context) : ssl_(SSL_new(context)) {
    OwnedBio in(BIO_new(BIO_s_mem()));
    OwnedBio out(BIO_new(BIO_s_mem()));
    if (ssl_ == nullptr || in == nullptr || out == nullptr) throw std::bad_alloc();
    in_ = in.release();
    out_ = out.release();
    SSL_set_bio(ssl_.get(), in_, out_);
    SSL_set_connect_state(ssl_.get());
  }

  std::string Say(std::string_view words) override {
    pending_.append(words);
    return Turn(nullptr);
  }

  std::string Hear(std::string_view bytes, std::string* heard) override {
    if (good_) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    return Turn(heard);
  }

  bool good() const override { return good_; }

 private:
  // Goes on as far as the bytes that came allow, and returns what is to be sent.
  std::string Turn(std::string* heard) {
    if (!good_) return "";
    ERR_clear_error();
    if (!pending_.empty() &&
        Done(SSL_write(ssl_.get(), pending_.data(), static_cast<int>(pending_.size())))) {
      pending_.clear();
    }
    std::array<char, 1024> words;
    for (int count = 1; heard != nullptr && good_ && count > 0;) {
      count = SSL_read(ssl_.get(), words.data(), static_cast<int>(words.size()));
      if (Done(count)) heard->append(words.data(), static_cast<size_t>(count));
    }
    ERR_clear_error();
    return TakeWritten(out_);
  }

  // Whether a call was done, which otherwise waits for bytes or ends all.
  bool Done(int result) {
    if (result > 0) return true;
    good_ = SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ;
    return false;
  }

  const OwnedSsl ssl_;
  BIO* in_ = nullptr;  // of `ssl_`, as `out_`
  BIO* out_ = nullptr;
  std::string pending_;  // words that could not be said yet
  bool good_ = true;
};

class Identity final : public ProbeIdentity {
 public:
  // Where it fails OpenSSL says why.
  bool Fill() {
    const OwnedKey key(EVP_EC_gen("P-256"));
    const OwnedCertificate own(X509_new());
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (key == nullptr || own == nullptr || context_ == nullptr) return false;
    static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
    return Sign(own.get(), key.get()) && Write(own.get()) &&
           SSL_CTX_use_certificate(context_.get(), own.get()) == 1 &&
           SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1 &&
           SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_alpn_protos(context_.get(), kHttp2, sizeof(kHttp2)) == 0;
  }

  const std::string& certificate() const override { return certificate_; }

  std::unique_ptr<ProbeWire> NewWire() const override {
    return std::make_unique<TlsWire>(context_.get());
  }

 private:
  static bool Sign(X509* own, EVP_PKEY* key) {
    // Its name has a random part, so that it is that of no other certificate.
    std::array<unsigned char, 16> random;
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) return false;
    std::string name = "pixpool-server's own probe ";
    for (const unsigned char byte : random) name += "0123456789abcdef"[byte % 16];
    X509_NAME* const subject = X509_get_subject_name(own);
    return X509_set_version(own, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(own), 1) == 1 &&
           ASN1_TIME_set_string(X509_getm_notBefore(own), "20000101000000Z") == 1 &&
           ASN1_TIME_set_string(X509_getm_notAfter(own), "99991231235959Z") == 1 &&
           X509_set_pubkey(own, key) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                      reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(own, subject) == 1 &&
           Extend(own, NID_basic_constraints, "critical,CA:FALSE") &&
           Extend(own, NID_key_usage, "critical,digitalSignature") &&
           Extend(own, NID_ext_key_usage, "clientAuth") && X509_sign(own, key, EVP_sha256()) > 0;
  }

  static bool Extend(X509* own, int what, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value);
    if (extension == nullptr) return false;
    const bool added = X509_add_ext(own, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
  }

  bool Write(X509* own) {
    const OwnedBio bio(BIO_new(BIO_s_mem()));
    if (bio == nullptr || PEM_write_bio_X509(bio.get(), own) != 1) return false;
    certificate_ = TakeWritten(bio.get());
    return true;
  }

  OwnedContext context_;
  std::string certificate_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ProbeIdentity>> ProbeIdentity::Make() {
  auto identity = std::make_unique<Identity>();
  ERR_clear_error();
  if (!identity->Fill()) {
    return absl::InternalError(
        Concat("no certificate can be made for the server's own probe: ", TakeOpenSslError()));
  }
  return identity;
}

}  // namespace pixpool
