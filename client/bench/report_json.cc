#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/bench/report.h"
#include "nlohmann/json.hpp"

namespace pixpool::bench {
namespace {

using Json = nlohmann::ordered_json;

double Ms(int64_t ns) { return static_cast<double>(ns) / 1e6; }

Json PercentilesJson(const Histogram& histogram) {
  Json json;
  json["mean"] = histogram.mean() / 1e6;
  json["min"] = Ms(histogram.min());
  for (const Percentile& p : kPercentiles) {
    json[p.name] = Ms(p.quantile == 1 ? histogram.max() : histogram.Quantile(p.quantile));
  }
  return json;
}

Json LoadJson(const Load& load) {
  Json json;
  const bool open = load.rate > 0;
  json["loop"] = open ? "open" : "closed";
  if (open) {
    json["requests_per_second"] = load.rate;
    json["arrivals"] = load.arrivals == Arrivals::kPoisson ? "poisson" : "constant";
    json["max_in_flight"] = load.max_in_flight;
  } else {
    json["concurrency"] = load.concurrency;
  }
  json["warm_up_s"] = absl::ToDoubleSeconds(load.warm_up);
  if (load.duration != absl::InfiniteDuration()) {
    json["duration_s"] = absl::ToDoubleSeconds(load.duration);
  }
  if (load.requests > 0) json["requests"] = load.requests;
  json["seed"] = load.seed;
  return json;
}

Json TotalsJson(const Totals& t) {
  return {{"requests", t.requests},
          {"requests_ok", t.requests_ok},
          {"images", t.images},
          {"images_ok", t.images_ok},
          {"retries", t.retries}};
}

void Sum(const Totals& from, Totals& to) {
  to.requests += from.requests;
  to.requests_ok += from.requests_ok;
  to.images += from.images;
  to.images_ok += from.images_ok;
  to.retries += from.retries;
}

Json FailuresJson(const Result& run) {
  Json json = Json::array();
  for (const auto& [failure, count] : run.failures) {
    Json entry = {{"of", failure.of_image ? "image" : "request"},
                  {"code", failure.code},
                  {"reason", failure.reason},
                  {"count", count.count},
                  {"example", count.example}};
    // What was never sent has none.
    if (count.latency.count() > 0) entry["latency_ms"] = PercentilesJson(count.latency);
    json.push_back(std::move(entry));
  }
  return json;
}

Json ServerJson(const ServerSide& server) {
  Json json;
  json["batches"] = server.batches;
  json["images_per_batch"] = server.batches > 0 ? server.batch_images / server.batches : 0;
  Json sizes = Json::array();
  double before = 0;
  for (const auto& [bound, cumulative] : server.batch_sizes) {
    if (cumulative > before) {
      sizes.push_back({{"up_to", std::isinf(bound) ? Json(nullptr) : Json(bound)},
                       {"batches", cumulative - before}});
    }
    before = cumulative;
  }
  json["batch_sizes"] = std::move(sizes);
  json["cpu_s"] = server.cpu_s;
  json["resident_bytes"] = server.resident_bytes;
  json["requests_shed"] = server.shed;
  return json;
}

Json RunJson(const Report& report, const Result& run) {
  Json json;
  json["load"] = LoadJson(run.load);
  json["window_s"] = run.window_s;
  json["images_per_second"] = run.images_per_second();
  json["requests"] = run.requests();
  json["requests_failed"] = run.requests_failed;
  json["images_ok"] = run.images_ok;
  json["images_failed"] = run.images_failed;
  json["latency_ms"] = PercentilesJson(run.latency);
  json["send_lag_ms"] = PercentilesJson(run.send_lag);
  json["failures"] = FailuresJson(run);
  if (!report.objectives.empty()) {
    Json objectives = Json::array();
    for (const Objective& o : report.objectives) {
      const double ms = LatencyMs(run, o.quantile);
      objectives.push_back({{"objective", o.text},
                            {"limit_ms", Ms(o.limit_ns)},
                            {"latency_ms", std::isfinite(ms) ? Json(ms) : Json(nullptr)},
                            {"met", ms <= Ms(o.limit_ns)}});
    }
    json["objectives"] = std::move(objectives);
    json["met"] = run.met;
  }
  Json stages;
  for (size_t s = 0; s < kStageCount; ++s) {
    if (run.stages[s].count() > 0) stages[kStages[s]] = PercentilesJson(run.stages[s]);
  }
  json["stages_ms"] = std::move(stages);
  json["generator"] = {{"cpu_s", run.client_cpu_s}, {"wall_s", run.wall_s}};
  if (run.server) json["server"] = ServerJson(*run.server);
  json["response_bytes"] = run.response_bytes;
  json["totals"] = TotalsJson(run.totals);
  Json timeline = Json::array();
  for (size_t i = 0; i < run.timeline.size(); ++i) {
    const Interval& part = run.timeline[i];
    timeline.push_back({{"s", static_cast<double>(i) * run.interval_s},
                        {"images_ok", part.images},
                        {"requests_failed", part.failed},
                        {"p50_ms", Ms(part.latency.Quantile(0.5))},
                        {"p99_ms", Ms(part.latency.Quantile(0.99))},
                        {"max_ms", Ms(part.latency.max())}});
  }
  json["interval_s"] = run.interval_s;
  json["timeline"] = std::move(timeline);
  return json;
}

}  // namespace

std::string LoadText(const Load& load) {
  if (load.rate > 0) return absl::StrFormat("%.4g requests/s", load.rate);
  return absl::StrCat(load.concurrency, load.concurrency == 1 ? " caller" : " callers");
}

std::string ReportJson(const Report& report) {
  Json json;
  json["format"] = "pixpool-bench-1";
  json["version"] = report.version;
  json["started"] = report.started;
  json["target"] = report.target;
  json["self_test"] = report.self_test;
  json["api"] = report.api;
  json["stream"] = report.stream;
  json["batch"] = report.batch;
  json["connections"] = report.connections;
  json["retry"] = report.retry;
  json["model"] = report.model;
  json["heads"] = report.heads;
  json["pictures"] = {{"count", report.picture_count},
                      {"smallest_bytes", report.smallest_bytes},
                      {"largest_bytes", report.largest_bytes}};
  json["cores"] = report.cores;
  if (report.searched) json["highest_rate"] = report.highest_rate;
  json["main_run"] = report.main_run;
  json["runs"] = Json::array();
  Totals all = report.other;
  for (const Result& run : report.runs) {
    json["runs"].push_back(RunJson(report, run));
    Sum(run.totals, all);
  }
  // Everything that the server has seen, warm-up, probe and search included.
  json["totals"] = TotalsJson(all);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ReportCsv(const Report& report) {
  std::string csv =
      "loop,requests_per_second,concurrency,window_s,images_per_second,requests,requests_failed,"
      "images_ok,images_failed,mean_ms";
  for (const Percentile& p : kPercentiles) absl::StrAppend(&csv, ",", p.name, "_ms");
  absl::StrAppend(&csv, ",send_lag_p99_ms,met\n");
  for (const Result& run : report.runs) {
    const bool open = run.load.rate > 0;
    absl::StrAppend(&csv, open ? "open" : "closed", ",", open ? absl::StrCat(run.load.rate) : "",
                    ",", open ? "" : absl::StrCat(run.load.concurrency), ",", run.window_s, ",",
                    run.images_per_second(), ",", run.requests(), ",", run.requests_failed, ",",
                    run.images_ok, ",", run.images_failed, ",", run.latency.mean() / 1e6);
    for (const Percentile& p : kPercentiles) {
      absl::StrAppend(&csv, ",",
                      Ms(p.quantile == 1 ? run.latency.max() : run.latency.Quantile(p.quantile)));
    }
    absl::StrAppend(&csv, ",", Ms(run.send_lag.Quantile(0.99)), ",",
                    report.objectives.empty() ? "" : (run.met ? "yes" : "no"), "\n");
  }
  return csv;
}

}  // namespace pixpool::bench
