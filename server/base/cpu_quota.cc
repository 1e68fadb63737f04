#include "server/base/cpu_quota.h"

#include <sched.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "server/base/cgroup.h"

namespace pixpool {
namespace {

constexpr int64_t kMaxCpus = 1 << 20;

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
  for (const CgroupFolder& folder : CgroupFolders(root)) {
    if (folder.v2) AddV2(folder.path, smallest);
    if (folder.Has("cpu")) AddV1Quota(folder.path, smallest);
    if (folder.Has("cpuset")) {
      AddCpuList(folder.path + "/cpuset.effective_cpus", smallest);
      AddCpuList(folder.path + "/cpuset.cpus", smallest);
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
