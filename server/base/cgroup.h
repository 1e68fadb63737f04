// The control groups (v1 and v2) of this process, as far as their files can be seen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace pixpool {

// The folder of one cgroup of this process and the controllers that it has files of.
struct CgroupFolder {
  std::string path;
  bool v2 = false;
  std::vector<std::string> controllers;  // v1 only

  bool Has(absl::string_view controller) const;
};

// The cgroups of this process in every hierarchy, each with those above it up to the top of what is
// mounted: a limit of any of them holds. `root` is where /proc and /sys are found, without a slash
// at its end.
std::vector<CgroupFolder> CgroupFolders(const std::string& root);

// At most 1 MiB of a file: a fake or broken one is not read to its end. Nullopt if it cannot be
// opened.
std::optional<std::string> ReadSmallFile(const std::string& path);

// The smallest positive number of those that it was given.
class Smallest {
 public:
  void Add(std::optional<int64_t> value);
  std::optional<int64_t> value() const { return value_; }

 private:
  std::optional<int64_t> value_;
};

}  // namespace pixpool
