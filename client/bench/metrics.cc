#include "client/bench/metrics.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace pixpool::bench {
namespace {

constexpr size_t kMaxBytes = 16 << 20;
constexpr char kBucket[] = "pixpool_batch_size_bucket{le=\"";

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

// Connects and returns the socket; -1.
int Connect(const MetricsUrl& url, absl::Duration timeout) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &list) != 0) return -1;
  int fd = -1;
  for (const addrinfo* a = list; a != nullptr && fd < 0; a = a->ai_next) {
    fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) continue;
    const timeval limit = absl::ToTimeval(timeout);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) break;
    close(fd);
    fd = -1;
  }
  freeaddrinfo(list);
  return fd;
}

// HTTP/1.0, so that the answer is not chunked and ends with the connection. "" where it fails.
std::string Get(int fd, const MetricsUrl& url) {
  const std::string request =
      absl::StrCat("GET ", url.path, " HTTP/1.0\r\nHost: ", url.host, "\r\n\r\n");
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return "";
  }
  std::string answer;
  std::vector<char> part(65536);
  for (ssize_t n; answer.size() < kMaxBytes && (n = recv(fd, part.data(), part.size(), 0)) > 0;) {
    answer.append(part.data(), static_cast<size_t>(n));
  }
  return answer;
}

}  // namespace

absl::StatusOr<MetricsUrl> ParseMetricsUrl(std::string_view text) {
  absl::string_view rest = ToAbsl(text);
  absl::ConsumePrefix(&rest, "http://");
  MetricsUrl url;
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

absl::StatusOr<Samples> FetchSamples(const MetricsUrl& url, absl::Duration timeout) {
  const int fd = Connect(url, timeout);
  std::string answer;
  if (fd >= 0) {
    answer = Get(fd, url);
    close(fd);
  }
  const size_t body = answer.find("\r\n\r\n");
  const bool good = answer.rfind("HTTP/1.", 0) == 0 && answer.find(" 200 ") == 8;
  if (!good || body == std::string::npos) {
    return absl::UnavailableError(
        absl::StrCat("no metrics at http://", url.host, ":", url.port, url.path));
  }
  return ParseSamples(std::string_view(answer).substr(body + 4));
}

ServerSide Difference(const Samples& before, const Samples& after) {
  ServerSide side;
  const auto delta = [&](const std::string& name) { return Sum(after, name) - Sum(before, name); };
  side.batches = delta("pixpool_batch_size_count");
  side.batch_images = delta("pixpool_batch_size_sum");
  side.cpu_s = delta("process_cpu_seconds_total");
  side.resident_bytes = Value(after, "process_resident_memory_bytes");
  side.shed = delta("pixpool_requests_shed_total");
  for (const auto& [name, value] : after) {
    if (name.rfind(kBucket, 0) != 0) continue;
    const std::string bound = name.substr(sizeof(kBucket) - 1, name.size() - sizeof(kBucket) - 1);
    double upper = std::numeric_limits<double>::infinity();
    if (bound != "+Inf" && !absl::SimpleAtod(bound, &upper)) continue;
    side.batch_sizes.emplace_back(upper, value - Value(before, name));
  }
  std::sort(side.batch_sizes.begin(), side.batch_sizes.end());
  return side;
}

}  // namespace pixpool::bench
