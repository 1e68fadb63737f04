// Bundles on disk: digests, paths that try to leave the folder, and the model repository.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "server/base/sha256.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/bundle/manifest.h"
#include "server/bundle/stump.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;

constexpr uintmax_t kMaxManifestBytes = 16 << 20;

// A regular file below `dir` that is reached without a symbolic link.
absl::Status CheckPlainFile(const fs::path& dir, const std::string& relative) {
  fs::path path = dir;
  fs::file_status status;
  for (const fs::path& part : fs::path(relative)) {
    path /= part;
    std::error_code error;
    status = fs::symlink_status(path, error);
    if (status.type() == fs::file_type::not_found) {
      return absl::NotFoundError(Concat("'", relative, "' is missing"));
    }
    if (error) return absl::UnavailableError(Concat("'", relative, "': ", error.message()));
    if (status.type() == fs::file_type::symlink) {
      return absl::InvalidArgumentError(
          Concat("'", relative, "' is or passes through a symbolic link"));
    }
  }
  if (status.type() != fs::file_type::regular) {
    return absl::InvalidArgumentError(Concat("'", relative, "' is not a regular file"));
  }
  return absl::OkStatus();
}

absl::Status CheckDigest(const fs::path& dir, const BundleFile& file) {
  PIXPOOL_RETURN_IF_ERROR(CheckPlainFile(dir, file.path));
  PIXPOOL_ASSIGN_OR_RETURN(const std::string digest, Sha256HexOfFile((dir / file.path).string()));
  if (digest != file.sha256) {
    return absl::FailedPreconditionError(
        Concat("'", file.path, "' has SHA-256 ", digest, ", the manifest states ", file.sha256));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadManifestText(const fs::path& dir) {
  PIXPOOL_RETURN_IF_ERROR(CheckPlainFile(dir, "manifest.json"));
  const fs::path path = dir / "manifest.json";
  std::error_code error;
  if (fs::file_size(path, error) > kMaxManifestBytes || error) {
    return absl::InvalidArgumentError("manifest.json is larger than 16 MiB or cannot be read");
  }
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in || !text) return absl::UnavailableError("manifest.json cannot be read");
  return std::move(text).str();
}

// `error` with the bundle's folder in front.
absl::Status InBundle(const std::string& dir, const absl::Status& error) {
  return absl::Status(error.code(), Concat("bundle ", dir, ": ", error.message()));
}

// Number of an all-digit version, or nullopt.
std::optional<uint64_t> NumericVersion(const std::string& version) {
  uint64_t value = 0;
  const char* end = version.data() + version.size();
  auto [rest, error] = std::from_chars(version.data(), end, value);
  if (error != std::errc() || rest != end) return std::nullopt;
  return value;
}

bool VersionLess(const std::string& a, const std::string& b) {
  const auto na = NumericVersion(a);
  const auto nb = NumericVersion(b);
  if (na && nb && *na != *nb) return *na < *nb;
  if (na.has_value() != nb.has_value()) return na.has_value();
  return a < b;
}

// Folders directly below `dir`, hidden ones left out.
absl::StatusOr<std::vector<fs::path>> SubFolders(const fs::path& dir) {
  std::vector<fs::path> result;
  std::error_code error;
  fs::directory_iterator it(dir, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    std::error_code ignored;
    if (it->path().filename().string().front() != '.' && it->is_directory(ignored)) {
      result.push_back(it->path());
    }
  }
  if (error) {
    return absl::NotFoundError(Concat("folder ", dir.string(), ": ", error.message()));
  }
  return result;
}

}  // namespace

absl::StatusOr<Bundle> OpenBundle(const std::string& dir) {
  // What links on the way to it lead to from now on does not matter.
  std::error_code error;
  const fs::path folder = fs::canonical(dir, error);
  if (error) return InBundle(dir, absl::NotFoundError(error.message()));
  absl::StatusOr<std::string> text = ReadManifestText(folder);
  if (!text.ok()) return InBundle(dir, text.status());
  absl::StatusOr<Manifest> manifest = ParseManifest(*text);
  if (!manifest.ok()) return InBundle(dir, manifest.status());

  std::vector<std::string> problems;
  absl::StatusCode code = absl::StatusCode::kFailedPrecondition;
  fs::path named = fs::absolute(dir, error).lexically_normal();
  if (!named.has_filename()) named = named.parent_path();
  if (named.filename() != manifest->version) {
    problems.push_back(Concat("$.version is '", manifest->version, "', the folder is '",
                              named.filename().string(), "'"));
  }
  if (named.parent_path().filename() != manifest->name) {
    problems.push_back(Concat("$.name is '", manifest->name, "', the folder is '",
                              named.parent_path().filename().string(), "'"));
  }
  for (const BundleFile& file : manifest->files) {
    if (absl::Status status = CheckDigest(folder, file); !status.ok()) {
      problems.emplace_back(ToStd(status.message()));
      code = status.code();
    }
  }
  if (!problems.empty()) {
    return InBundle(dir, absl::Status(code, absl::StrJoin(problems, "; ")));
  }
  Bundle bundle{folder.string(), *std::move(manifest)};
  if (const absl::Status status = RefuseStump(bundle); !status.ok()) return InBundle(dir, status);
  return bundle;
}

absl::StatusOr<FoundBundles> FindBundles(const std::string& root) {
  FoundBundles found;
  std::vector<BundleLocation>& bundles = found.bundles;
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<fs::path> names, SubFolders(root));
  for (const fs::path& name : names) {
    const absl::StatusOr<std::vector<fs::path>> versions = SubFolders(name);
    if (!versions.ok()) {
      found.unreadable.push_back(
          {name.filename().string(), std::string(versions.status().message())});
      continue;
    }
    for (const fs::path& version : *versions) {
      std::error_code ignored;
      if (fs::exists(fs::symlink_status(version / "manifest.json", ignored))) {
        bundles.push_back(
            {name.filename().string(), version.filename().string(), version.string()});
      }
    }
  }
  std::sort(bundles.begin(), bundles.end(), [](const BundleLocation& a, const BundleLocation& b) {
    if (a.name != b.name) return a.name < b.name;
    return VersionLess(a.version, b.version);
  });
  return found;
}

}  // namespace pixpool
