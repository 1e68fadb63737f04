#include "client/bench/objective.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace pixpool::bench {
namespace {

absl::Status Unreadable(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("--slo must be a percentile and a time, such as p99=100ms, p99.9=1.5s or "
                   "max=2s, not ",
                   absl::string_view(text.data(), text.size())));
}

}  // namespace

absl::StatusOr<Objective> ParseObjective(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return Unreadable(text);
  const std::string name(text.substr(0, equals));
  absl::Duration limit;
  if (!absl::ParseDuration(std::string(text.substr(equals + 1)), &limit) ||
      limit <= absl::ZeroDuration() || limit == absl::InfiniteDuration()) {
    return Unreadable(text);
  }
  double percent = 100;
  if (name != "max" &&
      (name.empty() || name[0] != 'p' || !absl::SimpleAtod(name.substr(1), &percent) ||
       !(percent > 0) || !(percent <= 100))) {
    return Unreadable(text);
  }
  return Objective{std::string(text), percent / 100, absl::ToInt64Nanoseconds(limit)};
}

double LatencyMs(const Result& result, double quantile) {
  const uint64_t good = result.latency.count();
  const uint64_t all = good + result.requests_failed;
  if (all == 0) return std::numeric_limits<double>::quiet_NaN();
  const double rank = std::max(1.0, std::ceil(quantile * static_cast<double>(all) - 1e-9));
  if (rank > static_cast<double>(good)) return std::numeric_limits<double>::infinity();
  return static_cast<double>(result.latency.Quantile(rank / static_cast<double>(good))) / 1e6;
}

bool Meets(const Result& result, const std::vector<Objective>& objectives) {
  return std::all_of(objectives.begin(), objectives.end(), [&result](const Objective& o) {
    return LatencyMs(result, o.quantile) <= static_cast<double>(o.limit_ns) / 1e6;
  });
}

}  // namespace pixpool::bench
