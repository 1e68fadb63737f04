// A whole call of the load tester, and its forms for files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "client/bench/objective.h"
#include "client/bench/result.h"

namespace pixpool::bench {

struct Report {
  std::string version;  // of pixpool
  std::string started;  // RFC 3339
  std::string target;
  std::string api;  // "pixpool", "kserve"
  bool stream = false;
  bool retry = false;
  bool self_test = false;  // against NullServer
  int batch = 1;
  int connections = 1;
  int cores = 1;
  std::string model;               // as asked for; "": the server's default
  std::vector<std::string> heads;  // as asked for
  size_t picture_count = 0;
  uint64_t smallest_bytes = 0;  // of the picture files
  uint64_t largest_bytes = 0;
  std::vector<Objective> objectives;
  std::vector<Result> runs;  // in the order of their making
  // Of a search: the highest rate that met the objectives, 0: none did; and the run that shows it.
  bool searched = false;
  double highest_rate = 0;
  // The run that is shown in detail.
  size_t main_run = 0;
  // Sent besides the runs: the probe, and a search's look at the capacity.
  Totals other;
};

// "12.5 requests/s", "8 callers".
std::string LoadText(const Load& load);

// The percentiles that reports show: 0.5 to 0.999 and 1, and their names: "p50" ... "max".
struct Percentile {
  const char* name;
  double quantile;
};
inline constexpr Percentile kPercentiles[] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1}};

// One object, indented.
std::string ReportJson(const Report& report);
// A head line and a line per run.
std::string ReportCsv(const Report& report);
// One file that needs nothing else: styles and drawings are inside, there is no script.
std::string ReportHtml(const Report& report);

}  // namespace pixpool::bench
