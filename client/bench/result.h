// What a run of load gave: plain numbers, for the reports.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/time/time.h"
#include "client/bench/histogram.h"
#include "client/bench/schedule.h"

namespace pixpool::bench {

// The load of one run.
struct Load {
  // Requests a second that are meant to be sent, whatever the server does; 0: a closed loop, where
  // each of `concurrency` callers sends its next request when it has the answer to its last.
  double rate = 0;
  int concurrency = 1;
  Arrivals arrivals = Arrivals::kPoisson;
  // Requests of the first part are sent and not counted.
  absl::Duration warm_up = absl::ZeroDuration();
  // The counted part; absl::InfiniteDuration(): as long as `requests` take.
  absl::Duration duration = absl::Seconds(10);
  // Counted requests at most; 0: no bound.
  int64_t requests = 0;
  // Requests of an open loop that may be waiting for answers; over it they are sent late, which
  // their latency shows.
  int max_in_flight = 4096;
  uint64_t seed = 1;
};

// The server's stages in the order of v1::StageTimes.
inline constexpr std::array<const char*, 7> kStages = {
    "queue", "decode", "preprocess", "batch_wait", "backbone", "heads", "draw"};
inline constexpr size_t kStageCount = kStages.size();

// A kind of failure: of a whole request or of a picture in it.
struct Failure {
  bool of_image;
  std::string code;    // "UNAVAILABLE"
  std::string reason;  // "OVERLOADED", or ""
  bool operator<(const Failure& other) const {
    return std::tie(of_image, code, reason) < std::tie(other.of_image, other.code, other.reason);
  }
};

struct FailureCount {
  uint64_t count = 0;
  std::string example;  // the first one's message
  // Of the requests that failed so, or in whose answer a picture did, as Result::latency counts it.
  Histogram latency;
};

// A part of the counted time.
struct Interval {
  Histogram latency;    // of the requests that were to be sent in it
  uint64_t images = 0;  // answered in it
  uint64_t failed = 0;  // requests that were to be sent in it and failed
};

// What was sent in all, warm-up and first try included: what the server's counters show.
struct Totals {
  uint64_t requests = 0;  // attempts
  uint64_t requests_ok = 0;
  uint64_t images = 0;  // in attempts
  uint64_t images_ok = 0;
  uint64_t retries = 0;
};

// What the server's metrics say of the counted time.
struct ServerSide {
  double batches = 0;
  double batch_images = 0;
  // Upper bound of the batch size -> batches with at most so many, as Prometheus counts them.
  std::vector<std::pair<double, double>> batch_sizes;
  double cpu_s = 0;
  double resident_bytes = 0;  // at the end
  double shed = 0;
};

struct Result {
  Load load;
  double window_s = 0;           // the counted time
  uint64_t requests_failed = 0;  // requests that failed as a whole or in a picture
  uint64_t images_ok = 0;        // of all counted requests
  uint64_t images_failed = 0;
  uint64_t window_images = 0;  // pictures answered within window_s, whenever sent
  // From the time at which a request was to be sent to its answer; of those that did not fail.
  Histogram latency;
  // From the time at which a request was to be sent to the time at which it was.
  Histogram send_lag;
  uint64_t unsent = 0;  // part of requests_failed: no room within max_in_flight until the end
  std::map<Failure, FailureCount> failures;
  std::array<Histogram, kStageCount> stages;
  double interval_s = 0;
  std::vector<Interval> timeline;
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
  Totals totals;
  double client_cpu_s = 0;  // of this process, in wall_s
  double wall_s = 0;        // from the first request to the last answer
  std::optional<ServerSide> server;
  bool met = true;  // the objectives

  double images_per_second() const {
    return window_s > 0 ? static_cast<double>(window_images) / window_s : 0;
  }
  uint64_t requests() const { return latency.count() + requests_failed; }
};

}  // namespace pixpool::bench
