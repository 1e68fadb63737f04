#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/bench/chart.h"
#include "client/bench/report.h"

namespace pixpool::bench {
namespace {

constexpr char kHead[] = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pixpool bench</title>
<style>
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1a1d21; --soft: #5c6570;
  --rule: #dfe3e8; --s1: #1f6fd1; --s2: #b4570a; --s3: #8a3ab0; --good: #1a7f37; --bad: #c62828; }
@media (prefers-color-scheme: dark) {
  :root { --page: #111418; --card: #1a1e24; --ink: #e8eaed; --soft: #9aa4af; --rule: #2e353d;
    --s1: #6cabf7; --s2: #f0a050; --s3: #cf94ee; --good: #4ac26b; --bad: #ff7b72; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 920px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 22px; margin: 0 0 2px; } h2 { font-size: 16px; margin: 0 0 8px; }
p { margin: 0 0 8px; } .soft, figcaption { color: var(--soft); font-size: 13px; }
section, .tile { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
section { padding: 16px; margin-top: 16px; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: 12px;
  margin-top: 16px; }
.tile { padding: 10px 14px; } .tile b { display: block; font-size: 22px; font-weight: 600; }
.tile span { color: var(--soft); font-size: 13px; }
.good { color: var(--good); } .bad { color: var(--bad); }
svg { width: 100%; height: auto; min-width: 560px; display: block; }
svg text { fill: var(--soft); font-size: 12px; } svg .note { fill: var(--ink); }
.grid { stroke: var(--rule); fill: none; } .axis { stroke: var(--soft); fill: none; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; } .bar { fill: var(--s1); }
.line.s1 { stroke: var(--s1); } .line.s2 { stroke: var(--s2); } .line.s3 { stroke: var(--s3); }
.dot { stroke: var(--card); stroke-width: 1.5; }
.dot.s1, .key.s1 { fill: var(--s1); background: var(--s1); }
.dot.s2, .key.s2 { fill: var(--s2); background: var(--s2); }
.dot.s3, .key.s3 { fill: var(--s3); background: var(--s3); }
.limit { stroke: var(--bad); stroke-dasharray: 5 4; fill: none; }
.key { display: inline-block; width: 12px; height: 3px; margin: 0 5px 3px 12px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; text-align: right; border-bottom: 1px solid var(--rule); }
th { color: var(--soft); font-weight: 500; font-size: 13px; }
th:first-child, td:first-child, td.text { text-align: left; }
tr.main td { font-weight: 600; }
.track { background: var(--rule); border-radius: 3px; height: 10px; min-width: 160px; }
.track i { display: block; height: 10px; border-radius: 3px; background: var(--s1); }
</style>
</head>
<body>
<main>
)";

double Ms(int64_t ns) { return static_cast<double>(ns) / 1e6; }

double QuantileMs(const Histogram& h, double quantile) {
  return Ms(quantile == 1 ? h.max() : h.Quantile(quantile));
}

std::string Key(const char* style, const char* text) {
  return absl::StrCat("<span class=\"key ", style, "\"></span>", text);
}

std::string Tile(const std::string& value, const std::string& label, const char* style = "") {
  return absl::StrCat("<div class=\"tile\"><b class=\"", style, "\">", value, "</b><span>", label,
                      "</span></div>\n");
}

std::string Header(const Report& report) {
  const auto kb = [](uint64_t bytes) {
    return absl::StrFormat("%.3g", static_cast<double>(bytes) / 1e3);
  };
  const std::string heads = report.heads.empty() ? "global_avg" : absl::StrJoin(report.heads, ", ");
  return absl::StrCat(
      "<h1>pixpool bench", report.self_test ? ": self-test" : "", "</h1>\n<p class=\"soft\">",
      Escape(report.target), " &middot; ", Escape(report.started), " &middot; API ", report.api,
      report.stream ? ", streams" : "", ", ", report.batch,
      report.batch == 1 ? " picture" : " pictures", " a request, ", report.connections,
      report.connections == 1 ? " connection" : " connections", " &middot; ", report.picture_count,
      " pictures of ", kb(report.smallest_bytes), " to ", kb(report.largest_bytes),
      " kB &middot; model ", Escape(report.model.empty() ? "default" : report.model),
      " &middot; heads ", Escape(heads), " &middot; pixpool ", Escape(report.version), ", ",
      report.cores, " cores</p>\n");
}

std::string Tiles(const Report& report, const Result& run) {
  std::string tiles = "<div class=\"tiles\">\n";
  absl::StrAppend(&tiles, Tile(NumberText(run.images_per_second()), "pictures/s"));
  for (const Percentile& p : kPercentiles) {
    if (p.quantile == 0.9) continue;
    absl::StrAppend(&tiles,
                    Tile(absl::StrCat(NumberText(QuantileMs(run.latency, p.quantile)), " ms"),
                         absl::StrCat("latency ", p.name)));
  }
  const bool clean = run.requests_failed == 0;
  absl::StrAppend(
      &tiles, Tile(absl::StrCat(run.requests_failed),
                   absl::StrCat("of ", run.requests(), " requests failed"), clean ? "" : "bad"));
  if (!report.objectives.empty()) {
    std::vector<std::string> texts;
    for (const Objective& o : report.objectives) texts.push_back(Escape(o.text));
    absl::StrAppend(&tiles, Tile(run.met ? "met" : "missed", absl::StrJoin(texts, ", "),
                                 run.met ? "good" : "bad"));
  }
  if (report.searched) {
    absl::StrAppend(&tiles, Tile(NumberText(report.highest_rate),
                                 "requests/s, the highest rate that meets it"));
  }
  return tiles + "</div>\n";
}

// Latency against load, where there are several runs. Of open loops the load is what was offered:
// what an overloaded server serves is nearly the same whatever comes in. Closed loops offer what is
// served; beside open ones they are left out.
std::string Curve(const Report& report) {
  struct Point {
    double rate, p50, p99;
    std::string load;
  };
  const bool open = std::any_of(report.runs.begin(), report.runs.end(),
                                [](const Result& run) { return run.load.rate > 0; });
  std::vector<Point> points;
  for (const Result& run : report.runs) {
    if (run.latency.count() == 0 || (run.load.rate > 0) != open) continue;
    points.push_back({open ? run.load.rate * report.batch : run.images_per_second(),
                      QuantileMs(run.latency, 0.5), QuantileMs(run.latency, 0.99),
                      LoadText(run.load)});
  }
  if (points.size() < 2) return "";
  double widest = 0;
  for (const Point& p : points) widest = std::max(widest, p.rate);
  if (open) {
    std::sort(points.begin(), points.end(),
              [](const Point& a, const Point& b) { return a.rate < b.rate; });
  }
  double low = std::numeric_limits<double>::infinity();
  double high = 0;
  Chart::Points p50, p99;
  std::vector<std::string> p50_titles, p99_titles;
  for (const Point& p : points) {
    low = std::min(low, p.p50);
    high = std::max(high, p.p99);
    p50.emplace_back(p.rate, p.p50);
    p99.emplace_back(p.rate, p.p99);
    p50_titles.push_back(
        absl::StrFormat("%s: %.4g pictures/s, p50 %.4g ms", p.load, p.rate, p.p50));
    p99_titles.push_back(
        absl::StrFormat("%s: %.4g pictures/s, p99 %.4g ms", p.load, p.rate, p.p99));
  }
  for (const Objective& o : report.objectives) high = std::max(high, Ms(o.limit_ns));
  Chart chart({open ? "pictures/s offered" : "pictures/s served", 0, widest * 1.05},
              {"latency, ms (logarithmic)", std::max(0.001, low * 0.8), high * 1.3, true});
  for (const Objective& o : report.objectives) chart.AddHorizontal(Ms(o.limit_ns), o.text);
  chart.AddLine(p50, "s1", true, p50_titles);
  chart.AddLine(p99, "s2", true, p99_titles);
  return absl::StrCat("<section>\n<h2>Rate and latency</h2>\n",
                      chart.Render("Latency against the rate, for each run"), "<figcaption>",
                      Key("s1", "p50"), Key("s2", "p99"),
                      " &middot; each point is a run</figcaption>\n</section>\n");
}

std::string Timeline(const Result& run) {
  Chart::Points p50, p99, worst, images;
  double high = 0;
  for (size_t i = 0; i < run.timeline.size(); ++i) {
    const double t = (static_cast<double>(i) + 0.5) * run.interval_s;
    const Interval& part = run.timeline[i];
    if (part.latency.count() == 0) continue;
    p50.emplace_back(t, QuantileMs(part.latency, 0.5));
    p99.emplace_back(t, QuantileMs(part.latency, 0.99));
    worst.emplace_back(t, Ms(part.latency.max()));
    high = std::max(high, worst.back().second);
  }
  if (p50.empty()) return "";
  const double end = static_cast<double>(run.timeline.size()) * run.interval_s;
  Chart chart({"seconds from the end of the warm-up, when the request was to be sent", 0, end},
              {"latency, ms", 0, high * 1.08});
  chart.AddLine(worst, "s3");
  chart.AddLine(p99, "s2");
  chart.AddLine(p50, "s1");
  return absl::StrCat("<section>\n<h2>Latency over time</h2>\n", chart.Render("Latency over time"),
                      "<figcaption>", Key("s1", "p50"), Key("s2", "p99"), Key("s3", "slowest"),
                      absl::StrFormat(" &middot; in steps of %.3g s", run.interval_s),
                      "</figcaption>\n</section>\n");
}

std::string Distribution(const Result& run) {
  if (run.latency.count() == 0) return "";
  constexpr int kBins = 60;
  const double low = std::max(0.001, Ms(run.latency.min()) * 0.98);
  const double high = std::max(low * 1.2, Ms(run.latency.max()) * 1.02);
  const double step = std::log(high / low) / kBins;
  std::vector<uint64_t> bins(kBins, 0);
  for (const Histogram::Bucket& b : run.latency.Buckets()) {
    const double middle = std::max(low, Ms((b.lower + b.upper) / 2));
    const int bin = static_cast<int>(std::log(middle / low) / step);
    bins[static_cast<size_t>(std::clamp(bin, 0, kBins - 1))] += b.count;
  }
  const double top = static_cast<double>(*std::max_element(bins.begin(), bins.end()));
  Chart chart({"latency, ms (logarithmic)", low, high, true}, {"requests", 0, top * 1.1});
  for (int i = 0; i < kBins; ++i) {
    const double left = low * std::exp(step * i);
    const double right = low * std::exp(step * (i + 1));
    const uint64_t count = bins[static_cast<size_t>(i)];
    if (count == 0) continue;
    chart.AddBar(left, right, static_cast<double>(count),
                 absl::StrFormat("%.4g to %.4g ms: %d requests", left, right, count));
  }
  chart.AddVertical(QuantileMs(run.latency, 0.5), "p50");
  chart.AddVertical(QuantileMs(run.latency, 0.99), "p99");
  return absl::StrCat("<section>\n<h2>Distribution of latencies</h2>\n",
                      chart.Render("Histogram of latencies"), "</section>\n");
}

std::string Stages(const Result& run) {
  double total = 0;
  for (const Histogram& stage : run.stages) total += stage.mean();
  if (total <= 0) return "";
  std::string rows;
  for (size_t s = 0; s < kStageCount; ++s) {
    const Histogram& stage = run.stages[s];
    absl::StrAppendFormat(
        &rows,
        "<tr><td>%s</td><td>%.3g</td><td>%.3g</td><td>%.3g</td>"
        "<td><div class=\"track\"><i style=\"width:%.1f%%\"></i></div></td></tr>\n",
        kStages[s], stage.mean() / 1e6, QuantileMs(stage, 0.5), QuantileMs(stage, 0.99),
        100 * stage.mean() / total);
  }
  return absl::StrCat(
      "<section>\n<h2>Where the server spent the time</h2>\n<table>\n<tr><th>stage</th>"
      "<th>mean, ms</th><th>p50</th><th>p99</th><th>share</th></tr>\n",
      rows, "</table>\n</section>\n");
}

std::string Failures(const Result& run) {
  if (run.failures.empty()) return "";
  std::string rows;
  for (const auto& [failure, count] : run.failures) {
    absl::StrAppend(&rows, "<tr><td>", failure.of_image ? "picture" : "request",
                    "</td><td class=\"text\">", Escape(failure.code), "</td><td class=\"text\">",
                    Escape(failure.reason), "</td><td>", count.count, "</td><td class=\"text\">",
                    Escape(count.example), "</td></tr>\n");
  }
  return absl::StrCat(
      "<section>\n<h2>Failures</h2>\n<table>\n<tr><th>of</th><th>code</th><th>reason</th>"
      "<th>number</th><th>the first one's message</th></tr>\n",
      rows, "</table>\n</section>\n");
}

std::string Runs(const Report& report) {
  std::string rows;
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const Result& run = report.runs[i];
    absl::StrAppend(&rows, i == report.main_run ? "<tr class=\"main\"><td>" : "<tr><td>",
                    LoadText(run.load), "</td><td>", NumberText(run.images_per_second()), "</td>");
    for (const Percentile& p : kPercentiles) {
      absl::StrAppend(&rows, "<td>", NumberText(QuantileMs(run.latency, p.quantile)), "</td>");
    }
    absl::StrAppend(&rows, "<td>", run.requests_failed, " of ", run.requests(), "</td>");
    if (!report.objectives.empty()) absl::StrAppend(&rows, "<td>", run.met ? "yes" : "no", "</td>");
    rows += "</tr>\n";
  }
  return absl::StrCat(
      "<section>\n<h2>Runs</h2>\n<table>\n<tr><th>load</th><th>pictures/s</th><th>p50, ms</th>"
      "<th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>failed</th>",
      report.objectives.empty() ? "" : "<th>met</th>", "</tr>\n", rows, "</table>\n</section>\n");
}

std::string Notes(const Result& run) {
  std::string text = absl::StrFormat(
      "<section>\n<h2>The load tester itself</h2>\n<p>It used %.2f of a core. Requests left %.3g "
      "ms "
      "(p99) after the time at which they were to be sent; latencies count from that time, so this "
      "is part of them.</p>\n",
      run.wall_s > 0 ? run.client_cpu_s / run.wall_s : 0, QuantileMs(run.send_lag, 0.99));
  if (run.server) {
    absl::StrAppendFormat(
        &text,
        "<p>By its metrics the server made %.0f batches of %.3g pictures on "
        "average, used %.3g s of processor time and held %.0f MB.</p>\n",
        run.server->batches,
        run.server->batches > 0 ? run.server->batch_images / run.server->batches : 0,
        run.server->cpu_s, run.server->resident_bytes / 1e6);
  }
  return text + "</section>\n";
}

}  // namespace

std::string ReportHtml(const Report& report) {
  std::string html = absl::StrCat(kHead, Header(report));
  if (!report.runs.empty()) {
    const Result& run = report.runs[std::min(report.main_run, report.runs.size() - 1)];
    absl::StrAppend(&html, Tiles(report, run));
    if (report.runs.size() > 1) {
      absl::StrAppend(&html,
                      "<p class=\"soft\">The figures above and the details below are of the "
                      "run with ",
                      LoadText(run.load), ".</p>\n");
    }
    absl::StrAppend(&html, Curve(report), Timeline(run), Distribution(run), Stages(run),
                    Failures(run), Runs(report), Notes(run));
  }
  return absl::StrCat(html, "</main>\n</body>\n</html>\n");
}

}  // namespace pixpool::bench
