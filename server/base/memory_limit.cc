#include "server/base/memory_limit.h"

#include <unistd.h>

#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "server/base/cgroup.h"

namespace pixpool {
namespace {

std::optional<int64_t> Number(absl::string_view text) {
  int64_t value = 0;
  // "max" in v2; v1 says "none" with a number beyond any machine.
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &value)) return std::nullopt;
  return value;
}

std::optional<int64_t> NumberIn(const std::string& path) {
  const auto text = ReadSmallFile(path);
  return text ? Number(*text) : std::nullopt;
}

// From the line of /proc/meminfo that begins with "MemTotal:" and ends with "kB".
std::optional<int64_t> MachineBytes(const std::string& root) {
  const auto text = ReadSmallFile(absl::StrCat(root, "/proc/meminfo"));
  if (!text) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (!absl::ConsumePrefix(&line, "MemTotal:")) continue;
    absl::ConsumeSuffix(&line, "kB");
    const auto kib = Number(line);
    return kib ? std::optional(*kib * 1024) : std::nullopt;
  }
  return std::nullopt;
}

struct Pages {
  int64_t resident = 0;
  int64_t of_files = 0;
};

// "SIZE RESIDENT SHARED ..." of /proc/PID/statm.
Pages PagesNow(absl::string_view pid = "self") {
  const auto text = ReadSmallFile(absl::StrCat("/proc/", pid, "/statm"));
  if (!text) return {};
  const std::vector<absl::string_view> columns = absl::StrSplit(*text, ' ');
  if (columns.size() < 3) return {};
  return {Number(columns[1]).value_or(0), Number(columns[2]).value_or(0)};
}

int64_t BytesOfItsOwn(const Pages& pages) {
  return (pages.resident - pages.of_files) * sysconf(_SC_PAGESIZE);
}

}  // namespace

int64_t AvailableMemoryBytes(const std::string& root) {
  const std::string prefix(absl::StripSuffix(root, "/"));
  Smallest smallest;
  smallest.Add(MachineBytes(prefix));
  for (const CgroupFolder& folder : CgroupFolders(prefix)) {
    if (folder.v2) {
      smallest.Add(NumberIn(folder.path + "/memory.max"));
      // Over this one the kernel slows the process down to a crawl.
      smallest.Add(NumberIn(folder.path + "/memory.high"));
    }
    if (folder.Has("memory")) smallest.Add(NumberIn(folder.path + "/memory.limit_in_bytes"));
  }
  return smallest.value().value_or(0);
}

int64_t ResidentBytes() { return PagesNow().resident * sysconf(_SC_PAGESIZE); }

int64_t ResidentBytesOfItsOwn() { return BytesOfItsOwn(PagesNow()); }

int64_t ResidentBytesOfItsOwn(int pid) { return BytesOfItsOwn(PagesNow(absl::StrCat(pid))); }

}  // namespace pixpool
