#include "client/bench/report.h"

#include "client/bench/chart.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace pixpool::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int64_t kMs = 1000 * 1000;

Report MakeReport() {
  Report report;
  report.version = "1";
  report.target = "<script>alert(1)</script>&\"";
  report.api = "pixpool";
  report.heads = {"gem:p=3"};
  report.picture_count = 2;
  report.objectives = {*ParseObjective("p99=100ms")};
  for (const double rate : {50.0, 100.0}) {
    Result run;
    run.load.rate = rate;
    run.window_s = 2;
    run.window_images = static_cast<uint64_t>(rate * 2);
    run.interval_s = 0.1;
    run.timeline.resize(3);
    for (int i = 1; i <= 100; ++i) {
      run.latency.Add(static_cast<int64_t>(i * rate / 50) * kMs);
      run.timeline[static_cast<size_t>(i) % 3].latency.Add(i * kMs);
      for (Histogram& stage : run.stages) stage.Add(i * 1000);
    }
    run.totals.requests = 100;
    run.met = Meets(run, report.objectives);
    report.runs.push_back(run);
  }
  report.runs[1].requests_failed = 3;
  report.runs[1].failures[{false, "UNAVAILABLE", "OVERLOADED"}] = {3, "full <b>", Histogram()};
  report.runs[1].failures[{false, "UNAVAILABLE", "OVERLOADED"}].latency.Add(7 * kMs);
  report.runs[1].failures[{false, "UNKNOWN", "NOT_SENT"}] = {1, "no room", Histogram()};
  report.runs[1].server = ServerSide{4, 10, {{1, 2}, {2, 4}}, 1.5, 3e8, 3};
  report.main_run = 1;
  report.other.requests = 1;
  return report;
}

TEST(ReportTest, Json) {
  const auto json = nlohmann::json::parse(ReportJson(MakeReport()));
  EXPECT_EQ(json["totals"]["requests"], 201);
  const auto& run = json["runs"][1];
  EXPECT_EQ(run["load"]["loop"], "open");
  EXPECT_EQ(run["images_per_second"], 100.0);
  EXPECT_NEAR(run["latency_ms"]["p99"].get<double>(), 198, 1);
  EXPECT_EQ(run["latency_ms"]["max"], 200.0);
  EXPECT_EQ(run["requests"], 103);
  EXPECT_EQ(run["failures"][0]["reason"], "OVERLOADED");
  EXPECT_EQ(run["failures"][0]["count"], 3);
  EXPECT_EQ(run["failures"][0]["latency_ms"]["max"], 7.0);
  EXPECT_FALSE(run["failures"][1].contains("latency_ms"));  // no time, rather than none at all
  // p99 of 103 requests is the 102nd, and that one failed: no number, and missed.
  EXPECT_TRUE(run["objectives"][0]["latency_ms"].is_null());
  EXPECT_EQ(run["objectives"][0]["met"], false);
  EXPECT_EQ(json["runs"][0]["met"], true);
  EXPECT_EQ(run["server"]["images_per_batch"], 2.5);
  EXPECT_EQ(run["server"]["batch_sizes"][1]["batches"], 2.0);
  EXPECT_NEAR(run["stages_ms"]["backbone"]["p50"].get<double>(), 0.05, 0.001);
  EXPECT_EQ(run["timeline"].size(), 3u);
}

TEST(ReportTest, CsvHasALineARun) {
  const std::string csv = ReportCsv(MakeReport());
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 3);
  EXPECT_THAT(csv, HasSubstr("\nopen,50,,2,50,100,0,"));
  const size_t columns = static_cast<size_t>(
      std::count(csv.begin(), csv.begin() + static_cast<long>(csv.find('\n')), ','));
  EXPECT_EQ(static_cast<size_t>(std::count(csv.begin(), csv.end(), ',')), 3 * columns);
}

TEST(ReportTest, HtmlNeedsNothingElseAndRunsNothing) {
  const std::string html = ReportHtml(MakeReport());
  for (const char* outside : {"http:", "https:", "//", "src=", "href=", "@import", "url(",
                              "<script", "<link", "full <b>"}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)"));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme: dark"));
  for (const char* part :
       {"Rate and latency", "Latency over time", "Distribution of latencies",
        "Where the server spent the time", "Failures", "OVERLOADED", "2.5 pictures on average"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("inf")));
}

TEST(ReportTest, HtmlOfNothing) {
  Report report;
  report.runs.emplace_back();  // nothing was answered
  const std::string html = ReportHtml(report);
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(html, Not(HasSubstr("<svg")));
  EXPECT_THAT(html, HasSubstr("</html>"));
}

TEST(ChartTest, Ticks) {
  EXPECT_THAT(Ticks(0, 10, false), testing::ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(Ticks(3, 60, true), testing::ElementsAre(5, 10, 20, 50));
  EXPECT_THAT(Ticks(80, 175, true), testing::ElementsAre(80, 100, 120, 140, 160));
  for (const double high : {0.001, 0.7, 3.0, 99.0, 12345.0}) {
    const auto ticks = Ticks(0, high, false);
    EXPECT_GE(ticks.size(), 3u) << high;
    EXPECT_LE(ticks.size(), 8u) << high;
  }
}

}  // namespace
}  // namespace pixpool::bench
