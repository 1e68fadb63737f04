#include "client/bench/metrics.h"

#include <limits>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pixpool::bench {
namespace {

constexpr size_t kMaxBytes = 16 << 20;
constexpr char kBucket[] = "pixpool_batch_size_bucket{";
constexpr char kBound[] = "le=\"";

absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }

double Value(const Samples& samples, const std::string& name) {
  const auto found = samples.find(name);
  return found == samples.end() ? 0 : found->second;
}

// The sum over all labels.
double Sum(const Samples& samples, const std::string& name) {
  double sum = 0;
  for (const auto& [key, value] : samples) {
    if (key == name || key.rfind(name + "{", 0) == 0) sum += value;
  }
  return sum;
}

}  // namespace

absl::StatusOr<HttpUrl> ParseMetricsUrl(std::string_view text) {
  absl::string_view rest = ToAbsl(text);
  absl::ConsumePrefix(&rest, "http://");
  HttpUrl url;
  const size_t slash = rest.find('/');
  url.path = slash == absl::string_view::npos ? "/metrics" : std::string(rest.substr(slash));
  const absl::string_view authority = rest.substr(0, slash);
  const size_t colon = authority.rfind(':');
  const bool bare_ipv6 = !authority.empty() && authority.back() == ']';
  if (colon == absl::string_view::npos || bare_ipv6) {
    url.host = std::string(authority);
    url.port = "80";
  } else {
    url.host = std::string(authority.substr(0, colon));
    url.port = std::string(authority.substr(colon + 1));
  }
  if (url.host.size() > 2 && url.host.front() == '[' && url.host.back() == ']') {
    url.host = url.host.substr(1, url.host.size() - 2);
  }
  int port;
  if (url.host.empty() || !absl::SimpleAtoi(url.port, &port) || port < 1 || port > 65535 ||
      rest.find_first_of(" \r\n") != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--metrics must be like http://127.0.0.1:8080/metrics, not ", ToAbsl(text)));
  }
  return url;
}

Samples ParseSamples(std::string_view text) {
  Samples samples;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    double value;
    if (space == absl::string_view::npos || !absl::SimpleAtod(line.substr(space + 1), &value)) {
      continue;
    }
    samples[std::string(line.substr(0, space))] = value;
  }
  return samples;
}

absl::StatusOr<Samples> FetchSamples(const HttpUrl& url, absl::Duration timeout) {
  const absl::StatusOr<std::string> text = HttpGet(url, timeout, kMaxBytes);
  if (!text.ok()) return text.status();
  return ParseSamples(*text);
}

ServerSide Difference(const Samples& before, const Samples& after) {
  ServerSide side;
  const auto delta = [&](const std::string& name) { return Sum(after, name) - Sum(before, name); };
  side.batches = delta("pixpool_batch_size_count");
  side.batch_images = delta("pixpool_batch_size_sum");
  side.cpu_s = delta("process_cpu_seconds_total");
  side.resident_bytes = Value(after, "process_resident_memory_bytes");
  side.shed = delta("pixpool_requests_shed_total");
  std::map<double, double> batches;  // of all models, by bound
  for (const auto& [name, value] : after) {
    const size_t label = name.find(kBound);
    if (name.rfind(kBucket, 0) != 0 || label == std::string::npos) continue;
    const size_t begin = label + sizeof(kBound) - 1;
    const std::string bound = name.substr(begin, name.find('"', begin) - begin);
    double upper = std::numeric_limits<double>::infinity();
    if (bound != "+Inf" && !absl::SimpleAtod(bound, &upper)) continue;
    batches[upper] += value - Value(before, name);
  }
  side.batch_sizes.assign(batches.begin(), batches.end());
  return side;
}

}  // namespace pixpool::bench
