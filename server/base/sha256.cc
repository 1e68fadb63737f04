#include "server/base/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <new>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace pixpool {
namespace {

constexpr size_t kBlockBytes = 1 << 20;

// With good arguments OpenSSL fails for want of memory only.
void Check(bool good) {
  if (!good) throw std::bad_alloc();
}

const EVP_MD* FetchSha256() {
  const EVP_MD* const digest = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Check(digest != nullptr);
  return digest;
}

// OpenSSL would look it up by name, under locks, for every digest. Where that throws, the next call
// tries again.
const EVP_MD* Sha256() {
  static const EVP_MD* const kDigest = FetchSha256();
  return kDigest;
}

// One digest in progress.
class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    Check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), Sha256(), nullptr) == 1);
  }

  void Update(const void* data, size_t size) {
    Check(EVP_DigestUpdate(context_.get(), data, size) == 1);
  }

  Sha256Digest Finish() {
    Sha256Digest digest;
    Check(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string Hex(const Sha256Digest& digest) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

}  // namespace

Sha256Digest Sha256Of(std::string_view bytes) {
  Hasher hasher;
  hasher.Update(bytes.data(), bytes.size());
  return hasher.Finish();
}

std::string Sha256Hex(std::string_view bytes) { return Hex(Sha256Of(bytes)); }

absl::StatusOr<std::string> Sha256HexOfFile(const std::string& path) {
  // Not blocking: to open a pipe would wait for somebody who writes to it.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      descriptor < 0 ? nullptr : fdopen(descriptor, "rb"), &std::fclose);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  struct stat status {};
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is no regular file"));
  }
  Hasher hasher;
  const auto block = std::make_unique<char[]>(kBlockBytes);
  for (;;) {
    errno = 0;
    const size_t got = std::fread(block.get(), 1, kBlockBytes, file.get());
    hasher.Update(block.get(), got);
    if (got == kBlockBytes) continue;
    if (std::ferror(file.get()))
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
    return Hex(hasher.Finish());
  }
}

}  // namespace pixpool
