#include "server/repository/errors.h"

#include "absl/strings/escaping.h"
#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {

absl::Status UnknownModel(const std::string& name) {
  ErrorDetails details;
  details.reason = ErrorReason::kModelNotFound;
  details.field = "model_name";
  details.metadata = {{"model", name}};
  return MakeError(details,
                   Concat("there is no model \"", absl::Utf8SafeCHexEscape(name),
                          "\" in the server's folder; RepositoryIndex names those there are"));
}

absl::Status NoModelIn(const RepositoryOptions& options) {
  const std::string& dir = options.models_dir;
  return absl::NotFoundError(Concat("no model in ", dir, " (", options.models_dir.flag(),
                                    "): make one with `python -m pixpool.export ",
                                    "efficientnet-lite0 --out ", dir, "`"));
}

absl::Status LoadsNoMore() {
  return MakeError(ErrorReason::kDraining, "the server is draining and loads no more models");
}

}  // namespace pixpool
