#include "client/cpp/pem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/token_file.h"

namespace pixpool::client::internal {
namespace {

template <typename T, void (*kFree)(T*)>
struct Free {
  void operator()(T* object) const { kFree(object); }
};
using Bio = std::unique_ptr<BIO, Free<BIO, &BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Free<X509, &X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, &EVP_PKEY_free>>;

// A file of an option, and what stands in it.
struct File {
  const char* option;
  const std::string& path;
  std::string text;

  absl::Status Wrong(const std::string& why) const {
    return absl::InvalidArgumentError(absl::StrCat(option, " ", path, ": ", why));
  }
};

Bio ReadFrom(const std::string& text) {
  Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (bio == nullptr) throw std::bad_alloc();
  return bio;
}

absl::StatusOr<File> Read(const char* option, const std::string& path) {
  File file{option, path, ""};
  if (path.empty()) return file;
  absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return file.Wrong(std::string(text.status().message()));
  file.text = *std::move(text);
  return file;
}

// The first certificate of a file, all of which can be read.
absl::StatusOr<Certificate> FirstCertificate(const File& file) {
  ERR_clear_error();
  const Bio bio = ReadFrom(file.text);
  Certificate first;
  int count = 0;
  for (; Certificate one{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}; ++count) {
    if (count == 0) first = std::move(one);
  }
  // The end of the text reads as the lack of another beginning.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!at_end) return file.Wrong(absl::StrCat("certificate ", count + 1, " in it is damaged"));
  if (first == nullptr) return file.Wrong("holds no CERTIFICATE in PEM");
  return first;
}

// Called where a key is encrypted.
int NoPassword(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

absl::StatusOr<Key> PrivateKey(const File& file) {
  ERR_clear_error();
  const Bio bio = ReadFrom(file.text);
  bool encrypted = false;
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &NoPassword, &encrypted));
  ERR_clear_error();
  if (key != nullptr) return key;
  if (encrypted) return file.Wrong("is encrypted; decrypt it (openssl pkey -in FILE -out FILE)");
  return file.Wrong("holds no PRIVATE KEY in PEM that can be read");
}

absl::Status CheckPair(const File& certificate, const File& key) {
  const absl::StatusOr<Certificate> own = FirstCertificate(certificate);
  if (!own.ok()) return own.status();
  const absl::StatusOr<Key> secret = PrivateKey(key);
  if (!secret.ok()) return secret.status();
  const bool fits = X509_check_private_key(own->get(), secret->get()) == 1;
  ERR_clear_error();
  if (fits) return absl::OkStatus();
  return key.Wrong(absl::StrCat("is not the key of the first certificate in ", certificate.option,
                                " ", certificate.path));
}

}  // namespace

absl::StatusOr<PemFiles> ReadPemFiles(const Access& access) {
  absl::StatusOr<File> ca = Read("ca", access.ca);
  if (!ca.ok()) return ca.status();
  absl::StatusOr<File> certificate = Read("client_cert", access.client_cert);
  if (!certificate.ok()) return certificate.status();
  absl::StatusOr<File> key = Read("client_key", access.client_key);
  if (!key.ok()) return key.status();
  if (!access.ca.empty()) {
    if (absl::Status status = FirstCertificate(*ca).status(); !status.ok()) return status;
  }
  if (!access.client_cert.empty()) {
    if (absl::Status status = CheckPair(*certificate, *key); !status.ok()) return status;
  }
  return PemFiles{.ca = std::move(ca->text),
                  .client_cert = std::move(certificate->text),
                  .client_key = std::move(key->text)};
}

}  // namespace pixpool::client::internal
