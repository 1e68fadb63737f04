#include "server/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace pixpool {
namespace {

using testing::HasSubstr;
using testing::Not;

// Metrics with every family in use.
std::unique_ptr<Metrics> Filled() {
  auto metrics = std::make_unique<Metrics>();
  metrics->DeclareFormats({"png", "raw"});
  metrics->DeclareDamages({"png"}, {"data", "no_end"});
  metrics->DeclareDecodeWorkerFailures({"crash", "time"});
  metrics->DeclareHeads({"gem", "global_avg"});
  metrics->DeclareTokens({"search"});
  metrics->SetBuildInfo("0.1.0", "1.51", "2.13");
  metrics->SetModel("net", "1", "torchscript", "cpu", "float32", true, 1.5);
  metrics->SetGaugeSource([] {
    Readings readings;
    readings.gpus = {{.device = "cuda:0",
                      .uuid = "GPU-1",
                      .memory_used = 3e9,
                      .memory_total = 8e9,
                      .utilization = 0.5,
                      .celsius = 60,
                      .watts = 200}};
    return readings;
  });
  return metrics;
}

// The value of a series, written as in the exposition: `name{label="x"}`. -1 if there is none.
double Value(const std::string& text, const std::string& series) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    double value = 0;
    if (line.size() > series.size() && line.substr(0, series.size()) == series &&
        line[series.size()] == ' ' && absl::SimpleAtod(line.substr(series.size() + 1), &value)) {
      return value;
    }
  }
  return -1;
}

// The counter of calls.
std::string Calls(std::string_view code, std::string_view method, std::string_view model = "",
                  std::string_view version = "") {
  std::string name = "pixpool_requests_total{code=\"";
  name.append(code).append("\",method=\"").append(method).append("\",model=\"").append(model);
  return name.append("\",version=\"").append(version).append("\"}");
}

// The counter of requests that were refused.
std::string Refused(const char* priority, const char* reason, const char* token = "") {
  return absl::StrCat("pixpool_requests_shed_total{priority=\"", priority, "\",reason=\"", reason,
                      "\",token=\"", token, "\"}");
}

std::vector<std::string> Split(const std::string& text, char at) {
  return absl::StrSplit(text, at, absl::SkipEmpty());
}

// "name type label,label" of every family, sorted; "-" where there is no label.
std::vector<std::string> Families(const std::string& text) {
  std::map<std::string, std::string> types;
  std::map<std::string, std::string> helps;
  std::map<std::string, std::set<std::string>> labels;
  for (const std::string& line : Split(text, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "#" && words[1] == "HELP") {
      helps[words[2]] = absl::StrJoin(words.begin() + 3, words.end(), " ");
    }
    if (words[0] == "#" && words[1] == "TYPE") types[words[2]] = words[3];
    if (words[0] == "#") continue;
    const size_t brace = line.find('{');
    std::string name = line.substr(0, std::min(brace, line.find(' ')));
    for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
      const std::string base = name.substr(0, name.size() - std::min(name.size(), suffix.size()));
      if (name == base + suffix && types.count(base) != 0) name = base;
    }
    labels[name];
    if (brace == line.npos) continue;
    const std::string inside = line.substr(brace + 1, line.rfind('}') - brace - 1);
    for (const std::string& pair : Split(inside, ',')) {
      const std::string label = pair.substr(0, pair.find('='));
      if (label != "le") labels[name].insert(label);
    }
  }
  std::vector<std::string> families;
  for (const auto& [name, type] : types) {
    const std::string joined = absl::StrJoin(labels[name], ",");
    families.push_back(
        absl::StrCat(name, " ", type, " ", joined.empty() ? "-" : joined, " ", helps[name]));
  }
  return families;
}

// With PIXPOOL_UPDATE_GOLDEN=1 the file takes over what the server has.
TEST(MetricsTest, WhatMetricsAreIsInTheGoldenFile) {
  const std::string path = PIXPOOL_GOLDEN_DIR "/metric_names.txt";
  const auto metrics = Filled();
  const auto model = metrics->OfModel("net", "1");
  const std::string now =
      "# Name, type, labels and help of every metric; dashboards and alerts depend on them.\n" +
      absl::StrJoin(Families(metrics->Scrape()), "\n") + "\n";
  if (std::getenv("PIXPOOL_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << now;
  std::stringstream golden;
  golden << std::ifstream(path).rdbuf();
  EXPECT_EQ(golden.str(), now)
      << "dashboards, alerts and docs/metrics.md use these. To take the new ones over:\n"
         "PIXPOOL_UPDATE_GOLDEN=1 ctest --test-dir build/release -R metrics_metrics_test\n"
         "scripts/py scripts/make_metrics.py";
}

TEST(MetricsTest, AGpuHasWhatItTells) {
  Metrics metrics;
  metrics.SetGaugeSource([] {
    Readings readings;
    readings.gpus = {{.device = "cuda:1", .uuid = "MIG-1", .memory_used = 5}};
    return readings;
  });
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, "pixpool_gpu_memory_used_bytes{device=\"cuda:1\",uuid=\"MIG-1\"}"), 5);
  EXPECT_THAT(text, Not(HasSubstr("pixpool_gpu_utilization_ratio")));
  metrics.SetGaugeSource([] { return Readings{}; });
  EXPECT_THAT(metrics.Scrape(), Not(HasSubstr("pixpool_gpu")));
}

TEST(MetricsTest, ReplacedWorkersCountByDeclaredCause) {
  const auto metrics = Filled();
  metrics->DecodeWorkerFailed("time");
  metrics->DecodeWorkerFailed("time");
  metrics->DecodeWorkerFailed("no such cause");
  const std::string text = metrics->Scrape();
  EXPECT_EQ(Value(text, "pixpool_decode_worker_failures_total{cause=\"time\"}"), 2);
  EXPECT_EQ(Value(text, "pixpool_decode_worker_failures_total{cause=\"crash\"}"), 0);
  EXPECT_THAT(text, Not(HasSubstr("no such cause")));
}

TEST(MetricsTest, PromtoolFindsNothingToComplainAbout) {
  if (std::system("command -v promtool > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "promtool is not installed (Debian: prometheus)";
  }
  const std::string path = testing::TempDir() + "/metrics_test.prom";
  const auto metrics = Filled();
  const auto model = metrics->OfModel("net", "1");
  std::ofstream(path) << metrics->Scrape();
  const std::string command = "promtool check metrics < " + path + " > " + path + ".out 2>&1";
  const int code = std::system(command.c_str());
  std::stringstream output;
  output << std::ifstream(path + ".out").rdbuf();
  EXPECT_EQ(code, 0) << output.str();
  EXPECT_EQ(output.str(), "");
}

TEST(MetricsTest, ACallIsCountedByMethodAndCode) {
  Metrics metrics;
  ModelMetrics& calls = metrics.no_model();
  calls.RequestDone(RpcMethod::kExtractFeatures, absl::StatusCode::kOk, 0.02);
  calls.RequestDone(RpcMethod::kExtractFeatures, absl::StatusCode::kOk, 0.3);
  calls.RequestDone(RpcMethod::kGetModel, absl::StatusCode::kNotFound, 0.001);
  calls.RequestDone(RpcMethod::kGetModel, static_cast<absl::StatusCode>(99), 0.001);
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, Calls("OK", "ExtractFeatures")), 2);
  EXPECT_EQ(Value(text, Calls("NOT_FOUND", "GetModel")), 1);
  EXPECT_EQ(Value(text, Calls("UNKNOWN", "GetModel")), 1);
  const std::string seconds = "pixpool_request_duration_seconds";
  const std::string labels = R"(method="ExtractFeatures",model="",version="")";
  EXPECT_EQ(Value(text, absl::StrCat(seconds, "_count{", labels, "}")), 2);
  EXPECT_EQ(Value(text, absl::StrCat(seconds, "_bucket{", labels, R"(,le="0.01"})")), 0);
  EXPECT_EQ(Value(text, absl::StrCat(seconds, "_bucket{", labels, R"(,le="0.025"})")), 1);
  EXPECT_EQ(Value(text, absl::StrCat(seconds, "_bucket{", labels, R"(,le="0.5"})")), 2);
}

TEST(MetricsTest, CallsOfAModelHaveItsNameAndVersion) {
  Metrics metrics;
  const auto one = metrics.OfModel("net", "1");
  const auto two = metrics.OfModel("net", "2");
  one->RequestDone(RpcMethod::kExtractFeatures, absl::StatusCode::kOk, 0.02);
  two->RequestDone(RpcMethod::kModelInfer, absl::StatusCode::kInternal, 0.02);
  two->RequestDone(RpcMethod::kGetModel, absl::StatusCode::kOk, 0.02);
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, Calls("OK", "ExtractFeatures", "net", "1")), 1);
  EXPECT_EQ(Value(text, Calls("OK", "ExtractFeatures", "net", "2")), 0);
  EXPECT_EQ(Value(text, Calls("INTERNAL", "ModelInfer", "net", "2")), 1);
  EXPECT_EQ(Value(text, Calls("OK", "GetModel")), 1) << "a question is of no model";
  EXPECT_EQ(Value(text, Calls("OK", "ExtractFeatures")), 0);
}

TEST(MetricsTest, TheSeriesOfAModelAreThereUntilItsLastUserIsGone) {
  Metrics metrics;
  const auto lines = [&] {
    const std::string text = metrics.Scrape();
    return std::count(text.begin(), text.end(), '\n');
  };
  const auto before = lines();
  auto loaded = metrics.OfModel("net", "1");
  auto call = loaded;
  loaded.reset();
  // The version is loaded again while a call still has the one before.
  loaded = metrics.OfModel("net", "1");
  call->RequestDone(RpcMethod::kExtractFeatures, absl::StatusCode::kOk, 0.02);
  call.reset();
  loaded->RequestDone(RpcMethod::kExtractFeatures, absl::StatusCode::kOk, 0.02);
  EXPECT_EQ(Value(metrics.Scrape(), Calls("OK", "ExtractFeatures", "net", "1")), 2);
  loaded.reset();
  EXPECT_EQ(lines(), before);
  loaded = metrics.OfModel("net", "1");
  EXPECT_EQ(Value(metrics.Scrape(), Calls("OK", "ExtractFeatures", "net", "1")), 0);
}

TEST(MetricsTest, ModelsComeAndGoWhileTheyAreCountedAndScraped) {
  Metrics metrics;
  metrics.SetGaugeSource([&metrics] {
    Readings readings;
    readings.models.push_back({.model = metrics.OfModel("net", "1"), .queue_depth = 1});
    return readings;
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto model = metrics.OfModel("net", "1");
        model->ImageDone(absl::OkStatus());
        if (i % 10 == 0) metrics.Scrape();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  metrics.SetGaugeSource(nullptr);
  EXPECT_THAT(metrics.Scrape(), Not(HasSubstr("model=\"net\"")));
}

TEST(MetricsTest, ImagesAreCountedByOutcomeAndReason) {
  Metrics metrics;
  const auto model = metrics.OfModel("net", "1");
  model->ImageDone(absl::OkStatus());
  model->ImageDone(MakeError(ErrorReason::kImageUndecodable, "x"));
  model->ImageDone(MakeError(ErrorReason::kImageUndecodable, "y"));
  model->ImageDone(absl::InternalError("without a reason"));
  metrics.DeclareFormats({"png", "raw"});
  metrics.ImageSeen("png", 2000, 40'000);
  metrics.ImageSeen("../../evil", 1, 1);
  metrics.DeclareDamages({"png", "jpeg"}, {"data", "no_end"});
  metrics.ImageDamaged("png", "no_end");
  metrics.ImageDamaged("png", "never-declared");
  metrics.ImageDamaged("raw", "no_end");
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, R"(pixpool_images_damaged_total{format="png",kind="no_end"})"), 1);
  EXPECT_EQ(Value(text, R"(pixpool_images_damaged_total{format="jpeg",kind="data"})"), 0);
  EXPECT_EQ(text.find("never-declared"), std::string::npos);
  const auto images = [&text](const char* outcome, const char* reason) {
    return Value(text, absl::StrCat("pixpool_images_total{model=\"net\",outcome=\"", outcome,
                                    "\",reason=\"", reason, "\",version=\"1\"}"));
  };
  EXPECT_EQ(images("ok", "none"), 1);
  EXPECT_EQ(images("error", "IMAGE_UNDECODABLE"), 2);
  EXPECT_EQ(images("error", "OTHER"), 1);
  EXPECT_EQ(Value(text, R"(pixpool_images_received_total{format="png"})"), 1);
  EXPECT_EQ(Value(text, R"(pixpool_images_received_total{format="raw"})"), 0);
  EXPECT_EQ(Value(text, R"(pixpool_images_received_total{format="other"})"), 1);
  EXPECT_EQ(Value(text, "pixpool_image_bytes_count"), 2);
  EXPECT_EQ(Value(text, "pixpool_image_pixels_sum"), 40'001);
}

TEST(MetricsTest, RegionsAreCountedByMode) {
  Metrics metrics;
  metrics.RegionsDone(RegionMode::kMap, 10);
  metrics.RegionsDone(RegionMode::kMap, 0);
  metrics.RegionsDone(RegionMode::kMap, 2);
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, R"(pixpool_regions_total{mode="map"})"), 12);
  EXPECT_EQ(Value(text, R"(pixpool_regions_total{mode="crop"})"), 0);
}

TEST(MetricsTest, StagesBatchesHeadsAndRefusals) {
  Metrics metrics;
  metrics.DeclareHeads({"gem"});
  const auto model = metrics.OfModel("net", "1");
  model->StageTime(Stage::kBackbone, 0.05);
  metrics.no_model().StageTime(Stage::kHeads, 0.05);
  model->BatchSize(8);
  metrics.HeadRun("gem");
  metrics.HeadRun("never-declared");
  model->Cancelled(Stage::kBatchWait, ErrorReason::kDeadlineInQueue);
  metrics.Admitted(Priority::kBulk);
  metrics.Shed(ErrorReason::kOverloaded, Priority::kInteractive, "");
  metrics.Shed(ErrorReason::kHeadInvalid, Priority::kBulk, "");
  const std::string text = metrics.Scrape();
  const std::string stages = "pixpool_stage_duration_seconds_count{";
  const std::string net = R"(model="net",)";
  EXPECT_EQ(Value(text, stages + net + R"(stage="backbone",version="1"})"), 1);
  EXPECT_EQ(Value(text, stages + net + R"(stage="heads",version="1"})"), 0);
  EXPECT_EQ(Value(text, stages + R"(model="",stage="heads",version=""})"), 1);
  EXPECT_EQ(Value(text, R"(pixpool_batch_size_bucket{model="net",version="1",le="4"})"), 0);
  EXPECT_EQ(Value(text, R"(pixpool_batch_size_bucket{model="net",version="1",le="8"})"), 1);
  EXPECT_EQ(Value(text, R"(pixpool_head_runs_total{kind="gem"})"), 1);
  EXPECT_EQ(Value(text, R"(pixpool_head_runs_total{kind="other"})"), 1);
  EXPECT_EQ(Value(text, "pixpool_cancellations_total{" + net +
                            R"(reason="DEADLINE_IN_QUEUE",stage="batch_wait",version="1"})"),
            1);
  EXPECT_EQ(Value(text, R"(pixpool_requests_admitted_total{priority="interactive"})"), 0);
  EXPECT_EQ(Value(text, R"(pixpool_requests_admitted_total{priority="bulk"})"), 1);
  EXPECT_EQ(Value(text, Refused("interactive", "OVERLOADED")), 1);
  EXPECT_EQ(Value(text, Refused("bulk", "OVERLOADED")), 0);
  EXPECT_EQ(Value(text, Refused("bulk", "OTHER")), 1);
}

TEST(MetricsTest, GaugesAreReadAtTheScrape) {
  Metrics metrics;
  int reads = 0;
  const auto model = metrics.OfModel("net", "1");
  metrics.SetGaugeSource([&] {
    Readings readings;
    readings.models = {{.model = model, .queue_depth = 10, .oldest_wait_seconds = {0, 2.5}},
                       {.model = nullptr, .queue_depth = 3}};
    readings.passes_waiting = ++reads;
    readings.bytes_capacity = 1000;
    readings.decode_threads = 4;
    return readings;
  });
  EXPECT_EQ(reads, 0);
  EXPECT_EQ(Value(metrics.Scrape(), "pixpool_passes_waiting_for_memory"), 1);
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, "pixpool_passes_waiting_for_memory"), 2);
  EXPECT_EQ(Value(text, R"(pixpool_queue_depth{model="net",version="1"})"), 10);
  EXPECT_EQ(Value(text, R"(pixpool_queue_depth{model="",version=""})"), 3);
  const std::string oldest = R"(pixpool_oldest_wait_seconds{model="net",priority=)";
  EXPECT_EQ(Value(text, oldest + R"("interactive",version="1"})"), 0);
  EXPECT_EQ(Value(text, oldest + R"("bulk",version="1"})"), 2.5);
  EXPECT_EQ(Value(text, "pixpool_in_flight_bytes_limit"), 1000);
  EXPECT_EQ(Value(text, R"(pixpool_threads{pool="decode"})"), 4);
  metrics.SetGaugeSource(nullptr);
  metrics.Scrape();
  EXPECT_EQ(reads, 2);
}

TEST(MetricsTest, AModelChangesWithoutLeavingOldSeries) {
  Metrics metrics;
  const std::string ready = R"(pixpool_model_ready{model="net",version="1"})";
  metrics.SetModel("net", "1", "", "", "", false, 0);
  EXPECT_EQ(Value(metrics.Scrape(), ready), 0);
  EXPECT_THAT(metrics.Scrape(), Not(HasSubstr("pixpool_model_info{")));
  metrics.SetModel("net", "1", "torchscript", "cpu", "float32", true, 2.5);
  metrics.SetModel("net", "1", "torchscript", "cuda:0", "float32", true, 3.5);
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, ready), 1);
  EXPECT_EQ(Value(text, R"(pixpool_model_load_duration_seconds{model="net",version="1"})"), 3.5);
  EXPECT_THAT(text, HasSubstr("device=\"cuda:0\""));
  EXPECT_THAT(text, Not(HasSubstr("device=\"cpu\"")));
}

TEST(MetricsTest, CallsByATokenCountAsLongAsItIsInForce) {
  Metrics metrics;
  const std::string search = R"(pixpool_token_calls_total{token="search"})";
  metrics.DeclareTokens({"nightly", "search"});
  metrics.TokenCall("search");
  metrics.TokenCall("unknown");
  metrics.DeclareTokens({"search", "new"});
  metrics.TokenCall("search");
  metrics.TokenCall("nightly");
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, search), 2);
  EXPECT_EQ(Value(text, R"(pixpool_token_calls_total{token="new"})"), 0);
  EXPECT_THAT(text, Not(HasSubstr("nightly")));
  EXPECT_THAT(text, Not(HasSubstr("unknown")));
}

TEST(MetricsTest, WhoIsRefusedCountsUnderItsToken) {
  Metrics metrics;
  metrics.DeclareTokens({"nightly", "search"});
  metrics.Shed(ErrorReason::kOverloaded, Priority::kBulk, "nightly");
  metrics.Shed(ErrorReason::kQuotaExceeded, Priority::kBulk, "nightly");
  metrics.Shed(ErrorReason::kDraining, Priority::kBulk, "nightly");
  metrics.Shed(ErrorReason::kOverloaded, Priority::kBulk, "no longer in the file");
  metrics.Shed(ErrorReason::kOverloaded, Priority::kBulk, "");
  const std::string text = metrics.Scrape();
  EXPECT_EQ(Value(text, Refused("bulk", "OVERLOADED", "nightly")), 1);
  EXPECT_EQ(Value(text, Refused("bulk", "QUOTA_EXCEEDED", "nightly")), 1);
  EXPECT_EQ(Value(text, Refused("interactive", "OVERLOADED", "search")), 0);
  EXPECT_EQ(Value(text, Refused("bulk", "OVERLOADED")), 2);
  EXPECT_EQ(Value(text, Refused("bulk", "DRAINING")), 1);
  EXPECT_THAT(text, Not(HasSubstr("no longer")));
  metrics.DeclareTokens({"search"});
  EXPECT_THAT(metrics.Scrape(), Not(HasSubstr("nightly")));
}

TEST(MetricsTest, ProcessFiguresArePlausible) {
  Metrics metrics;
  const std::string text = metrics.Scrape();
  EXPECT_GE(Value(text, "process_threads"), 1);
  EXPECT_GE(Value(text, "process_open_fds"), 3);
  EXPECT_GT(Value(text, "process_max_fds"), Value(text, "process_open_fds"));
  EXPECT_GT(Value(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(Value(text, "process_virtual_memory_bytes"),
            Value(text, "process_resident_memory_bytes"));
  EXPECT_GE(Value(text, "process_cpu_seconds_total"), 0);
  const double now = static_cast<double>(time(nullptr));
  EXPECT_NEAR(Value(text, "process_start_time_seconds"), now, 300) << "the tests' time limit";
}

TEST(MetricsTest, SeriesAreBoundedWhateverClientsSend) {
  auto metrics = Filled();
  const auto count = [&] { return Split(metrics->Scrape(), '\n').size(); };
  const size_t before = count();
  for (int i = 0; i < 100; ++i) {
    const std::string name = absl::StrCat("x", i);
    metrics->ImageSeen(name, i, i);
    metrics->HeadRun(name);
    metrics->TokenCall(name);
    metrics->Shed(ErrorReason::kOverloaded, Priority::kBulk, name);
    metrics->no_model().RequestDone(RpcMethod::kPoolTensor, static_cast<absl::StatusCode>(i), i);
  }
  EXPECT_EQ(count(), before);
  // Of each call 17 codes and a histogram of 19 series; the rest is some 300, with the help.
  EXPECT_LT(before, 36u * kRpcMethodCount + 380u);
  const auto model = metrics->OfModel("net", "1");
  EXPECT_NEAR(static_cast<double>(count() - before), 430, 10) << "as docs/metrics.md says";
}

TEST(MetricsTest, ThreadsCountTogether) {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) {
        metrics.no_model().RequestDone(RpcMethod::kPoolTensor, absl::StatusCode::kOk, 0.1);
        if (i % 100 == 0) metrics.Scrape();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Value(metrics.Scrape(), Calls("OK", "PoolTensor")), 4'000);
}

}  // namespace
}  // namespace pixpool
