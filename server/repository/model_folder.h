// The models folder as it is on the disk. Internal to server/repository.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/bundle/manifest.h"
#include "server/bundle/version_settings.h"
#include "server/model/model.h"

namespace pixpool {

// Thread-safe: it reads the disk each time that it is asked.
class ModelFolder {
 public:
  explicit ModelFolder(std::string dir) : dir_(std::move(dir)) {}

  using Locations = std::vector<BundleLocation>;  // of one model, the lowest version first
  struct Found {
    std::map<std::string, Locations> models;
    std::map<std::string, std::string> refused;  // folders that cannot be read, and why
  };
  absl::StatusOr<Found> Find() const;

  // What tells one state of a model from another, without reading the bundles; of each, and of each
  // folder that cannot be read.
  using Stamps = std::map<std::string, std::string>;
  absl::StatusOr<Stamps> LookAtAll() const;

  // A model's versions.json.
  absl::StatusOr<VersionSettings> Settings(const std::string& name) const;

  // A message without the paths of this machine, for clients.
  std::string WithoutPaths(std::string_view message, const std::string& name) const;

  const std::string& dir() const { return dir_; }

 private:
  std::string Of(const std::string& name) const;
  // Where links lead to, and what to say instead: of a model and what lies in its folder.
  std::vector<std::pair<std::string, std::string>> RealPaths(const std::string& name) const;

  const std::string dir_;
};

struct BundleFiles {
  int64_t bytes = 0;
  // Names, sizes, times and inodes of all of them: other files have another one.
  std::string stamp;
};

// Those below a folder; what cannot be looked at is left out.
BundleFiles LookAtFiles(const std::string& dir);

// Bytes of a bundle without the files of other engines and precisions than those of the model that
// was made of it, or of one like it; all of them where its manifest cannot be read.
int64_t BytesInUse(const std::string& dir, const ModelInfo& info);

// The same of the engine of the bundle that has the most, where it is not known which it will be.
int64_t MostBytesInUse(const std::string& dir);

// What is the same for bundles with the same content: the digest of the manifest, which states
// those of all files. Empty where it cannot be read.
std::string ContentOf(const std::string& dir);

}  // namespace pixpool
