#include "server/repository/model_folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "server/base/named_file.h"
#include "server/base/sha256.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;

// Empty for what is no file.
std::string StampOf(const fs::path& path, int64_t* bytes) {
  struct stat s {};
  if (lstat(path.c_str(), &s) != 0 || S_ISDIR(s.st_mode)) return "";
  *bytes += s.st_size;
  return Concat(path.string(), " ", s.st_size, " ", s.st_mtim.tv_sec, ".", s.st_mtim.tv_nsec, " ",
                s.st_ctim.tv_sec, ".", s.st_ctim.tv_nsec, " ", s.st_ino, "\n");
}

// All `bytes` but those of the files that only other engines and precisions read.
int64_t BytesOf(const std::string& dir, int64_t bytes, const std::vector<EngineFile>& engines,
                std::string_view engine, std::string_view precision) {
  std::set<std::string> used;
  std::set<std::string> others;
  for (const EngineFile& file : engines) {
    const bool chosen = file.engine == engine && file.precision == precision;
    for (const std::string& path : {file.path, file.aligned_path}) {
      if (path.empty()) continue;
      (chosen ? used : others).insert(path);
      // The weights of an OpenVINO graph.
      if (path.ends_with(".xml")) {
        (chosen ? used : others).insert(fs::path(path).replace_extension(".bin").string());
      }
    }
  }
  for (const std::string& path : others) {
    std::error_code error;
    const auto size = fs::file_size(fs::path(dir) / path, error);
    if (!error && !used.contains(path)) bytes -= static_cast<int64_t>(size);
  }
  return bytes;
}

std::vector<EngineFile> EnginesOf(const std::string& dir) {
  const auto text = ReadNamedFile((fs::path(dir) / "manifest.json").string());
  if (!text.ok()) return {};
  absl::StatusOr<Manifest> manifest = ParseManifest(*text);
  return manifest.ok() ? std::move(manifest->engines) : std::vector<EngineFile>();
}

}  // namespace

absl::StatusOr<ModelFolder::Found> ModelFolder::Find() const {
  PIXPOOL_ASSIGN_OR_RETURN(const FoundBundles bundles, FindBundles(dir_));
  Found found;
  for (const BundleLocation& at : bundles.bundles) found.models[at.name].push_back(at);
  for (const UnreadableFolder& folder : bundles.unreadable) found.refused[folder.name] = folder.why;
  return found;
}

absl::StatusOr<ModelFolder::Stamps> ModelFolder::LookAtAll() const {
  PIXPOOL_ASSIGN_OR_RETURN(const Found found, Find());
  Stamps stamps;
  for (const auto& [name, locations] : found.models) {
    std::string& stamp = stamps[name];
    int64_t bytes = 0;
    stamp += StampOf(fs::path(Of(name)) / kVersionSettingsFile, &bytes);
    for (const BundleLocation& at : locations) {
      stamp += Concat(at.dir, "\n", LookAtFiles(at.dir).stamp);
    }
  }
  for (const auto& [name, why] : found.refused) stamps[name] = why;
  return stamps;
}

absl::StatusOr<VersionSettings> ModelFolder::Settings(const std::string& name) const {
  return ReadVersionSettings(Of(name));
}

std::string ModelFolder::WithoutPaths(std::string_view message, const std::string& name) const {
  std::error_code error;
  const std::string full = fs::absolute(Of(name), error).lexically_normal().string();
  std::string clean = absl::StrReplaceAll(ToAbsl(message), RealPaths(name));
  clean = absl::StrReplaceAll(ToAbsl(clean), {{full, name}, {Of(name), name}});
  // Of other models. A folder's own name alone may be any word of the message.
  const std::string root = (fs::absolute(dir_, error) / "").lexically_normal().string();
  for (const std::string& dir : {root, (fs::path(dir_) / "").string()}) {
    if (dir.size() > 1) clean = absl::StrReplaceAll(ToAbsl(clean), {{dir, ""}});
  }
  if (root.size() < 3) return clean;
  return absl::StrReplaceAll(ToAbsl(clean),
                             {{root.substr(0, root.size() - 1), "the models folder"}});
}

std::vector<std::pair<std::string, std::string>> ModelFolder::RealPaths(
    const std::string& name) const {
  std::vector<std::pair<std::string, std::string>> paths;
  const auto add = [&paths](const fs::path& path, const std::string& shown) {
    std::error_code error;
    const std::string real = fs::canonical(path, error).string();
    if (!error) paths.emplace_back(real, shown);
  };
  std::error_code error;
  for (fs::directory_iterator it(Of(name), error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    add(it->path(), Concat(name, "/", it->path().filename().string()));
  }
  add(Of(name), name);
  return paths;
}

std::string ModelFolder::Of(const std::string& name) const {
  return (fs::path(dir_) / name).string();
}

BundleFiles LookAtFiles(const std::string& dir) {
  BundleFiles files;
  std::vector<std::string> lines;
  std::error_code error;
  fs::recursive_directory_iterator it(dir, fs::directory_options::skip_permission_denied, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    lines.push_back(StampOf(it->path(), &files.bytes));
  }
  std::sort(lines.begin(), lines.end());
  files.stamp = absl::StrJoin(lines, "");
  return files;
}

int64_t BytesInUse(const std::string& dir, const ModelInfo& info) {
  return BytesOf(dir, LookAtFiles(dir).bytes, EnginesOf(dir), info.engine, info.precision);
}

int64_t MostBytesInUse(const std::string& dir) {
  const int64_t all = LookAtFiles(dir).bytes;
  const std::vector<EngineFile> engines = EnginesOf(dir);
  if (engines.empty()) return all;
  int64_t most = 0;
  for (const EngineFile& file : engines) {
    most = std::max(most, BytesOf(dir, all, engines, file.engine, file.precision));
  }
  return most;
}

std::string ContentOf(const std::string& dir) {
  const auto digest = Sha256HexOfFile((fs::path(dir) / "manifest.json").string());
  return digest.ok() ? *digest : "";
}

}  // namespace pixpool
