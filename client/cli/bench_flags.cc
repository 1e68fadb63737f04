#include "client/cli/bench_flags.h"

#include <algorithm>
#include <limits>

#include "absl/strings/match.h"

namespace pixpool::cli {
namespace {

constexpr double kDefaultDuration = 10;
constexpr int kDefaultConcurrency = 8;
// A search first asks what the server can do at most: so many callers, for so long at most.
constexpr int kCapacityCallers = 16;
constexpr double kCapacitySeconds = 3;

}  // namespace

void BenchFlags::Add(CLI::App& app) {
  input.AddPictures(app);
  input.AddPasses(app);
  app.add_option("--head", heads, "Head as of extract; repeatable. Default: global_avg")
      ->type_name("HEAD")
      ->allow_extra_args(false)
      ->group("Model");

  const auto load = [](auto* option) { return option->group("Load"); };
  load(app.add_option("--concurrency", concurrency,
                      "Closed loop: callers that each wait for their answer before they ask again. "
                      "Several, joined by commas, run one after the other. Default: 8"))
      ->check(CLI::Range(1, 65536).description(""))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("N,...");
  load(app.add_option("--rate", rates,
                      "Open loop: requests a second, whatever the server does; several as above"))
      ->check(CLI::Range(0.01, 1e6).description(""))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("R,...");
  load(app.add_option("--arrivals", arrivals, "How requests of --rate are spread"))
      ->check(CLI::IsMember({"poisson", "constant"}).description(""))
      ->type_name("poisson|constant")
      ->capture_default_str();
  load(app.add_option("--warm-up", warm_up_s, "Seconds of load before those that count"))
      ->check(CLI::Range(0.0, 86400.0).description(""))
      ->type_name("SECONDS")
      ->capture_default_str();
  load(
      app.add_option("--duration", duration_s,
                     "Seconds that count, of each run. Default: 10, or as long as --requests take"))
      ->check(CLI::Range(0.1, 7 * 86400.0).description(""))
      ->type_name("SECONDS");
  load(app.add_option("--requests", requests, "Requests that count at most, of each run"))
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40).description(""))
      ->type_name("N");
  load(
      app.add_option("--max-in-flight", max_in_flight,
                     "Requests of --rate without an answer at most; further ones leave late, which "
                     "their latency shows"))
      ->check(CLI::Range(1, 1 << 20).description(""))
      ->type_name("N")
      ->capture_default_str();
  load(app.add_option("--seed", seed, "Of arrivals and of the order of pictures"))
      ->type_name("N")
      ->capture_default_str();
  load(app.add_flag("--no-probe", no_probe,
                    "Begin without the one request that shows whether the server is there and "
                    "takes such requests: for a server under load already"));
  load(app.add_flag("--retry", retry,
                    "Ask again where the server sheds, as the client library does; the latency "
                    "counts from the first attempt. Else what is shed counts as failed"));

  app.add_option("--api", api, "Protocol")
      ->check(CLI::IsMember({"pixpool", "kserve"}).description(""))
      ->type_name("pixpool|kserve")
      ->capture_default_str()
      ->group("Connection");
  app.add_option("--batch", batch, "Pictures a request")
      ->check(CLI::Range(1, 4096).description(""))
      ->type_name("N")
      ->capture_default_str()
      ->group("Connection");
  app.add_flag("--stream", stream, "One stream per connection in place of one call per request")
      ->group("Connection");
  app.add_option("--connections", connections, "Connections, used in turn")
      ->check(CLI::Range(1, 1024).description(""))
      ->type_name("N")
      ->capture_default_str()
      ->group("Connection");

  app.add_option("--slo", slo,
                 "Objective, such as p99=100ms, p99.9=1s, max=2s; repeatable. A request that fails "
                 "counts as one that took forever. Missed: exit code 7")
      ->type_name("PERCENTILE=TIME")
      ->allow_extra_args(false)
      ->group("Objective");
  app.add_flag("--search", search, "Search for the highest rate that meets --slo")
      ->group("Objective");
  app.add_option("--min-rate", min_rate,
                 "Exit code 7 where --search finds less requests a second, or a run serves less")
      ->check(CLI::Range(0.0, 1e6).description(""))
      ->type_name("R")
      ->group("Objective");

  app.add_option("--json", json, "Also write the report as JSON")
      ->type_name("FILE")
      ->group("Output");
  app.add_option("--csv", csv, "Also write a line per run")->type_name("FILE")->group("Output");
  app.add_option("--html", html, "Also write a page with charts; it needs no network")
      ->type_name("FILE")
      ->group("Output");
  app.add_option("--metrics", metrics,
                 "The server's metrics, such as http://127.0.0.1:8080/metrics, for batch sizes and "
                 "its processor time")
      ->type_name("URL")
      ->group("Output");
  app.add_flag(
         "--self-test", self_test,
         "Run against a server in this process that does nothing: what the load tester itself "
         "can do at most")
      ->group("Output");
  connection.Add(app);
}

absl::Status BenchFlags::Check() const {
  if (connection.timeout_s <= 0) {
    return absl::InvalidArgumentError("--timeout must be above 0 here: a run has to end");
  }
  if (search && slo.empty()) {
    return absl::InvalidArgumentError("--search needs an objective: --slo p99=100ms");
  }
  if (search && (!rates.empty() || !concurrency.empty())) {
    return absl::InvalidArgumentError(
        "--search finds the rate: leave out --rate and --concurrency");
  }
  if (retry && stream) {
    return absl::InvalidArgumentError("--retry is for calls, not for --stream");
  }
  if (self_test && !metrics.empty()) {
    return absl::InvalidArgumentError("the server of --self-test has no --metrics");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<bench::Objective>> BenchFlags::Objectives() const {
  std::vector<bench::Objective> objectives;
  for (const std::string& text : slo) {
    absl::StatusOr<bench::Objective> objective = bench::ParseObjective(text);
    if (!objective.ok()) return objective.status();
    objectives.push_back(*std::move(objective));
  }
  return objectives;
}

bench::Load BenchFlags::Base() const {
  bench::Load load;
  load.arrivals = arrivals == "constant" ? bench::Arrivals::kConstant : bench::Arrivals::kPoisson;
  load.warm_up = absl::Seconds(warm_up_s);
  load.requests = requests;
  if (duration_s > 0) {
    load.duration = absl::Seconds(duration_s);
  } else {
    load.duration = requests > 0 ? absl::InfiniteDuration() : absl::Seconds(kDefaultDuration);
  }
  load.max_in_flight = max_in_flight;
  load.seed = seed;
  return load;
}

bench::Load BenchFlags::AtRate(double rate) const {
  bench::Load load = Base();
  load.rate = rate;
  return load;
}

std::vector<bench::Load> BenchFlags::Loads() const {
  std::vector<bench::Load> loads;
  const auto add_closed = [&](int callers) {
    loads.push_back(Base());
    loads.back().concurrency = callers;
  };
  if (search) {
    add_closed(kCapacityCallers);
    loads.back().duration = std::min(loads.back().duration, absl::Seconds(kCapacitySeconds));
    return loads;
  }
  for (const int callers : concurrency) add_closed(callers);
  for (const double rate : rates) loads.push_back(AtRate(rate));
  if (loads.empty()) add_closed(kDefaultConcurrency);
  return loads;
}

absl::StatusOr<bench::TransportOptions> BenchFlags::Transport() const {
  bench::TransportOptions options;
  auto entry = client::internal::Entry::Make(connection.access, connection.target);
  if (!entry.ok()) return entry.status();
  options.entry = *std::move(entry);
  absl::StatusOr<client::Headers> headers = connection.AllHeaders();
  if (headers.ok()) headers = options.entry->Complete(*std::move(headers));
  if (!headers.ok()) return headers.status();
  options.target = connection.target;
  options.connections = connections;
  options.timeout = connection.timeout();
  options.retry = retry;
  options.headers = *std::move(headers);
  // KServe's messages have no field for it.
  if (api == "kserve" && !input.priority.empty()) {
    options.headers.emplace_back("pixpool-priority", input.priority);
  }
  return options;
}

absl::StatusOr<bench::WorkloadOptions> BenchFlags::Workload() const {
  absl::StatusOr<v1::StreamConfig> config = input.Config(heads);
  if (!config.ok()) return config.status();
  bench::WorkloadOptions options;
  options.api = api == "kserve" ? bench::Api::kKserve : bench::Api::kPixpool;
  options.stream = stream;
  options.batch = batch;
  options.config = *std::move(config);
  options.heads = heads;
  options.seed = seed;
  return options;
}

}  // namespace pixpool::cli
