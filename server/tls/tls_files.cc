#include "server/tls/tls_files.h"

#include "server/base/named_file.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

template <typename File>
absl::StatusOr<std::string> Read(const File& file) {
  absl::StatusOr<std::string> text = ReadNamedFile(file);
  if (text.ok()) return text;
  return absl::InvalidArgumentError(
      Concat(file.flag(), " ", file.value(), ": ", ToStd(text.status().message())));
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
