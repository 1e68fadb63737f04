#include "server/tls/tls_files.h"

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>

#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// The CAs of all the world take a quarter of this.
constexpr size_t kMostBytes = 1 << 20;

template <typename File>
absl::StatusOr<std::string> Read(const File& file) {
  const auto failed = [&file](std::string_view why) {
    return absl::InvalidArgumentError(Concat(file.flag(), " ", file.value(), ": ", why));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(
      std::fopen(file.value().c_str(), "rbe"), &std::fclose);
  if (opened == nullptr) return failed(Concat("cannot be opened: ", std::strerror(errno)));
  std::string text(kMostBytes + 1, '\0');
  errno = 0;
  text.resize(std::fread(text.data(), 1, text.size(), opened.get()));
  if (std::ferror(opened.get()) != 0) {
    return failed(Concat("cannot be read: ", std::strerror(errno)));
  }
  if (text.size() > kMostBytes) return failed("is larger than 1 MiB, which no PEM file here is");
  return text;
}

}  // namespace

absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsOptions& options) {
  TlsFiles files;
  PIXPOOL_ASSIGN_OR_RETURN(files.certificate, Read(options.certificate));
  PIXPOOL_ASSIGN_OR_RETURN(files.key, Read(options.key));
  if (!options.client_ca.value().empty()) {
    PIXPOOL_ASSIGN_OR_RETURN(files.client_ca, Read(options.client_ca));
  }
  return files;
}

}  // namespace pixpool
