#include "server/base/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace pixpool {
namespace {

// No file read here is longer; a fake or broken one is not read to its end.
constexpr std::streamsize kMaxFileBytes = 1 << 20;
constexpr int64_t kMaxCpus = 1 << 20;

std::optional<std::string> ReadSmallFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text(kMaxFileBytes, '\0');
  in.read(text.data(), kMaxFileBytes);
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

// Number of CPUs in a list such as "0-3,8"; nullopt if it is empty or malformed.
std::optional<int64_t> CountCpuList(absl::string_view list) {
  list = absl::StripAsciiWhitespace(list);
  if (list.empty()) return std::nullopt;
  int64_t count = 0;
  for (absl::string_view range : absl::StrSplit(list, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(range, '-');
    int64_t first = 0;
    int64_t last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || first < 0 || last < first || last >= kMaxCpus) {
      return std::nullopt;
    }
    count += last - first + 1;
  }
  return count;
}

// Cores of a quota in microseconds per period, rounded up; nullopt if there is none.
std::optional<int64_t> QuotaToCpus(absl::string_view quota_text, absl::string_view period_text) {
  int64_t quota = 0;
  int64_t period = 0;
  if (!absl::SimpleAtoi(quota_text, &quota) || !absl::SimpleAtoi(period_text, &period) ||
      quota <= 0 || period <= 0) {
    return std::nullopt;  // "max" in v2, -1 in v1
  }
  return quota / period + (quota % period != 0 ? 1 : 0);
}

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

// The smallest of what it was given.
class Smallest {
 public:
  void Add(std::optional<int64_t> value) {
    if (value && *value > 0) value_ = std::min(value_.value_or(INT64_MAX), *value);
  }
  std::optional<int64_t> value() const { return value_; }

 private:
  std::optional<int64_t> value_;
};

bool Contains(const std::vector<std::string>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void AddCpuList(const std::string& path, Smallest* smallest) {
  if (const auto text = ReadSmallFile(path)) smallest->Add(CountCpuList(*text));
}

void AddV2(const std::string& folder, Smallest* smallest) {
  if (const auto text = ReadSmallFile(folder + "/cpu.max")) {
    const std::vector<std::string> parts =
        absl::StrSplit(absl::StripAsciiWhitespace(*text), ' ', absl::SkipEmpty());
    if (parts.size() == 2) smallest->Add(QuotaToCpus(parts[0], parts[1]));
  }
  AddCpuList(folder + "/cpuset.cpus.effective", smallest);
}

void AddV1Quota(const std::string& folder, Smallest* smallest) {
  const auto quota = ReadSmallFile(folder + "/cpu.cfs_quota_us");
  const auto period = ReadSmallFile(folder + "/cpu.cfs_period_us");
  if (quota && period) smallest->Add(QuotaToCpus(*quota, *period));
}

void AddCgroups(const std::string& root, Smallest* smallest) {
  const std::vector<CgroupMount> mounts = ReadMounts(root);
  for (const CgroupPlace& place : ReadPlaces(root)) {
    const bool cpu = Contains(place.controllers, "cpu");
    const bool cpuset = Contains(place.controllers, "cpuset");
    for (const CgroupMount& mount : mounts) {
      if (place.v2 != (mount.type == "cgroup2")) continue;
      for (const std::string& folder : FoldersUpwards(mount, place.path)) {
        const std::string here = root + folder;
        if (place.v2) AddV2(here, smallest);
        if (cpu && Contains(mount.controllers, "cpu")) AddV1Quota(here, smallest);
        if (cpuset && Contains(mount.controllers, "cpuset")) {
          AddCpuList(here + "/cpuset.effective_cpus", smallest);
          AddCpuList(here + "/cpuset.cpus", smallest);
        }
      }
    }
  }
}

// CPUs of the affinity mask. The kernel refuses a mask shorter than its own, so the mask grows
// until it fits.
std::optional<int64_t> AffinityCount() {
  for (int cpus = 1024; cpus <= kMaxCpus; cpus *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(
        CPU_ALLOC(static_cast<size_t>(cpus)), [](cpu_set_t* set) { CPU_FREE(set); });
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    if (mask && sched_getaffinity(0, size, mask.get()) == 0) return CPU_COUNT_S(size, mask.get());
  }
  return std::nullopt;
}

}  // namespace

int AvailableCpuCount(const std::string& root) {
  const std::string prefix(absl::StripSuffix(root, "/"));
  Smallest smallest;
  AddCpuList(prefix + "/sys/devices/system/cpu/online", &smallest);
  AddCgroups(prefix, &smallest);
  if (prefix.empty()) smallest.Add(AffinityCount());
  return static_cast<int>(std::clamp<int64_t>(smallest.value().value_or(1), 1, INT_MAX));
}

}  // namespace pixpool
