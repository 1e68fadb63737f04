// Flags of pixpool bench.
#pragma once

#include <string>
#include <vector>

#include "client/bench/load.h"
#include "client/bench/objective.h"
#include "client/bench/workload.h"
#include "client/cli/flags.h"

namespace pixpool::cli {

struct BenchFlags {
  ConnectionFlags connection;
  InputFlags input;
  std::vector<std::string> heads;

  std::vector<int> concurrency;
  std::vector<double> rates;
  std::string arrivals = "poisson";
  double warm_up_s = 2;
  double duration_s = 0;  // 0: not given
  int64_t requests = 0;
  int batch = 1;
  bool stream = false;
  std::string api = "pixpool";
  int connections = 1;
  int max_in_flight = 4096;
  bool retry = false;
  bool no_probe = false;
  uint64_t seed = 1;

  std::vector<std::string> slo;
  bool search = false;
  double min_rate = 0;

  bool self_test = false;
  std::string metrics;
  std::string json, csv, html;

  void Add(CLI::App& app);

  // What cannot go together: INVALID_ARGUMENT.
  absl::Status Check() const;
  absl::StatusOr<std::vector<bench::Objective>> Objectives() const;
  // The loads in the order in which they run; of a search its first look, at the capacity.
  std::vector<bench::Load> Loads() const;
  // A load at a rate, for a search.
  bench::Load AtRate(double rate) const;
  absl::StatusOr<bench::TransportOptions> Transport() const;
  absl::StatusOr<bench::WorkloadOptions> Workload() const;

 private:
  bench::Load Base() const;
};

}  // namespace pixpool::cli
