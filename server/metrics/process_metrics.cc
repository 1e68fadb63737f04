#include "server/metrics/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "server/base/log.h"

namespace pixpool {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Single(const char* name, const char* help, MetricType type, double value) {
  ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  family.metric.push_back(metric);
  return family;
}

// Fields of /proc/self/stat from the third on; the second, the command, may hold any characters and
// ends at the last parenthesis (proc(5)). So field N of the manual is at N - 3.
std::vector<std::string> ReadStat() {
  std::ifstream in("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const size_t end = text.rfind(')');
  if (end == text.npos) return {};
  return absl::StrSplit(text.substr(end + 1), absl::ByAnyChar(" \n"), absl::SkipEmpty());
}

std::optional<double> StatNumber(const std::vector<std::string>& stat, size_t field) {
  double value = 0;
  if (stat.size() <= field - 3 || !absl::SimpleAtod(stat[field - 3], &value)) return std::nullopt;
  return value;
}

std::optional<double> CountOpenFds() {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir("/proc/self/fd"), &closedir);
  if (!dir) return std::nullopt;
  int entries = 0;
  while (readdir(dir.get()) != nullptr) ++entries;
  return entries - 3;  // ".", ".." and the descriptor of the folder itself
}

// Seconds since the epoch at which the machine started, so that start times in ticks since then
// become times.
double BootTime() {
  timespec real{};
  timespec boot{};
  clock_gettime(CLOCK_REALTIME, &real);
  clock_gettime(CLOCK_BOOTTIME, &boot);
  return static_cast<double>(real.tv_sec - boot.tv_sec) +
         static_cast<double>(real.tv_nsec - boot.tv_nsec) / 1e9;
}

}  // namespace

std::vector<MetricFamily> CollectProcessMetrics() {
  std::vector<MetricFamily> families;
  const auto add = [&](const char* name, const char* help, MetricType type,
                       std::optional<double> value) {
    if (value) families.push_back(Single(name, help, type, *value));
  };
  const std::vector<std::string> stat = ReadStat();
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));

  std::optional<double> cpu;
  if (const auto user = StatNumber(stat, 14), system = StatNumber(stat, 15); user && system) {
    cpu = (*user + *system) / ticks;
  }
  add("process_cpu_seconds_total", "CPU time that the process used, user and system.",
      MetricType::Counter, cpu);
  add("process_threads", "Threads of the process.", MetricType::Gauge, StatNumber(stat, 20));

  // Constant, so it is worked out once: computed anew it would wobble with the clocks.
  static const std::optional<double> start = [&]() -> std::optional<double> {
    const auto since_boot = StatNumber(stat, 22);
    if (!since_boot) return std::nullopt;
    return BootTime() + *since_boot / ticks;
  }();
  add("process_start_time_seconds", "When the process started, in seconds since the epoch.",
      MetricType::Gauge, start);
  add("process_virtual_memory_bytes", "Virtual memory of the process.", MetricType::Gauge,
      StatNumber(stat, 23));
  std::optional<double> resident;
  if (const auto pages = StatNumber(stat, 24)) resident = *pages * page;
  add("process_resident_memory_bytes", "Resident memory of the process.", MetricType::Gauge,
      resident);

  add("process_open_fds", "Open file descriptors.", MetricType::Gauge, CountOpenFds());
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    add("process_max_fds", "Most file descriptors that may be open.", MetricType::Gauge,
        static_cast<double>(limit.rlim_cur));
  }
  add("pixpool_log_dropped_total", "Log lines dropped because their reader was too slow.",
      MetricType::Counter, static_cast<double>(LogDroppedCount()));
  return families;
}

}  // namespace pixpool
