#include "server/repository/errors.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/strings/escaping.h"
#include "server/base/error.h"
#include "server/base/text.h"
#include "server/bundle/manifest.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;

bool IsBundle(const fs::path& dir) {
  std::error_code error;
  return fs::exists(fs::symlink_status(dir / "manifest.json", error));
}

std::vector<fs::path> FoldersIn(const fs::path& dir) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator it(dir, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) folders.push_back(it->path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

}  // namespace

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
  const std::string_view flag = options.models_dir.flag();
  std::error_code error;
  fs::path full = fs::absolute(dir, error).lexically_normal();
  if (!full.has_filename()) full = full.parent_path();
  const auto instead = [&](std::string_view what, const fs::path& pass) {
    return absl::NotFoundError(
        Concat(flag, " ", dir, " is ", what, ": pass ", flag, " ", pass.string()));
  };
  if (!fs::exists(full, error)) {
    return absl::NotFoundError(
        Concat("there is no folder ", full.string(), " (", flag, " ", dir, ")"));
  }
  if (!fs::is_directory(full, error)) {
    return absl::NotFoundError(Concat(full.string(), " is no folder (", flag, " ", dir, ")"));
  }
  if (IsBundle(full)) {
    return instead("a version of a model and not the folder of the models",
                   full.parent_path().parent_path());
  }
  for (const fs::path& below : FoldersIn(full)) {
    if (IsBundle(below)) {
      return instead(Concat("the folder of one model, with version ", below.filename().string(),
                            ", and not that of the models"),
                     full.parent_path());
    }
  }
  for (const fs::path& below : FoldersIn(full)) {
    const absl::StatusOr<FoundBundles> deeper = FindBundles(below.string());
    if (deeper.ok() && !deeper->bundles.empty()) {
      return instead(Concat("above the folder of the models, which has ",
                            deeper->bundles.front().name, "/", deeper->bundles.front().version),
                     below);
    }
  }
  return absl::NotFoundError(Concat("no model in ", dir, " (", flag,
                                    "): make one with `python -m pixpool.export ",
                                    "efficientnet-lite0 --out ", dir, "`"));
}

absl::Status LoadsNoMore() {
  return MakeError(ErrorReason::kDraining, "the server is draining and loads no more models");
}

}  // namespace pixpool
