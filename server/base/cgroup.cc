#include "server/base/cgroup.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace pixpool {
namespace {

// No file read here is longer; a fake or broken one is not read to its end.
constexpr std::streamsize kMaxFileBytes = 1 << 20;

// Where a cgroup hierarchy is mounted.
struct CgroupMount {
  std::string root;                      // the cgroup that the mount shows as its top
  std::string point;                     // folder
  std::string type;                      // "cgroup" or "cgroup2"
  std::vector<std::string> controllers;  // v1 only
};

// Lines of mountinfo: "ID PARENT DEV ROOT POINT OPTIONS ... - TYPE SOURCE SUPER_OPTIONS" (proc(5)).
std::vector<CgroupMount> ReadMounts(const std::string& root) {
  std::vector<CgroupMount> mounts;
  const auto text = ReadSmallFile(absl::StrCat(root, "/proc/self/mountinfo"));
  if (!text) return mounts;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<std::string> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2) continue;
    const std::vector<std::string> left = absl::StrSplit(halves[0], ' ', absl::SkipEmpty());
    const std::vector<std::string> right = absl::StrSplit(halves[1], ' ', absl::SkipEmpty());
    if (left.size() < 5 || right.size() < 3) continue;
    if (right[0] != "cgroup" && right[0] != "cgroup2") continue;
    mounts.push_back({left[3], left[4], right[0], absl::StrSplit(right[2], ',')});
  }
  return mounts;
}

// This process's place in one hierarchy, a line "ID:CONTROLLERS:PATH" of /proc/self/cgroup.
struct CgroupPlace {
  bool v2 = false;
  std::vector<std::string> controllers;
  std::string path;
};

std::vector<CgroupPlace> ReadPlaces(const std::string& root) {
  std::vector<CgroupPlace> places;
  const auto text = ReadSmallFile(absl::StrCat(root, "/proc/self/cgroup"));
  if (!text) return places;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || !absl::StartsWith(parts[2], "/")) continue;
    places.push_back({parts[1].empty(), absl::StrSplit(parts[1], ','), parts[2]});
  }
  return places;
}

// Folders from the process's cgroup up to the top of the mount. In a container without a cgroup
// namespace the path is the host's while the mount shows only a part of it, hence `mount.root`.
std::vector<std::string> FoldersUpwards(const CgroupMount& mount, std::string path) {
  if (mount.root != "/") {
    path = path == mount.root || absl::StartsWith(path, mount.root + "/")
               ? path.substr(mount.root.size())
               : "";
  }
  std::vector<std::string> folders;
  while (!path.empty() && path != "/") {
    // A path above the top of the namespace ("/../x") names nothing that is visible here.
    if (!absl::StrContains(path, "/..")) folders.push_back(absl::StrCat(mount.point, path));
    path.resize(path.rfind('/'));
  }
  folders.push_back(mount.point);
  return folders;
}

bool Contains(const std::vector<std::string>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

bool CgroupFolder::Has(absl::string_view controller) const {
  return Contains(controllers, controller);
}

std::vector<CgroupFolder> CgroupFolders(const std::string& root) {
  std::vector<CgroupFolder> found;
  const std::vector<CgroupMount> mounts = ReadMounts(root);
  for (const CgroupPlace& place : ReadPlaces(root)) {
    for (const CgroupMount& mount : mounts) {
      if (place.v2 != (mount.type == "cgroup2")) continue;
      std::vector<std::string> controllers;
      if (!place.v2) {
        for (const std::string& controller : place.controllers) {
          if (Contains(mount.controllers, controller)) controllers.push_back(controller);
        }
        if (controllers.empty()) continue;
      }
      for (const std::string& folder : FoldersUpwards(mount, place.path)) {
        found.push_back({root + folder, place.v2, controllers});
      }
    }
  }
  return found;
}

std::optional<std::string> ReadSmallFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text(kMaxFileBytes, '\0');
  in.read(text.data(), kMaxFileBytes);
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

void Smallest::Add(std::optional<int64_t> value) {
  if (value && *value > 0) value_ = std::min(value_.value_or(*value), *value);
}

}  // namespace pixpool
