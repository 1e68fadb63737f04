#include "client/cli/bench_text.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/table.h"

namespace pixpool::cli {
namespace {

constexpr size_t kWidth = 100;

std::string Milliseconds(int64_t ns) {
  const double ms = static_cast<double>(ns) / 1e6;
  return ms < 10 ? absl::StrFormat("%.2f", ms) : absl::StrFormat("%.1f", ms);
}

std::string At(const bench::Histogram& h, double quantile) {
  return Milliseconds(quantile == 1 ? h.max() : h.Quantile(quantile));
}

std::string Title(const bench::Report& report, Style style) {
  const std::string between = style.Separator();
  const auto kb = [](uint64_t bytes) {
    return absl::StrFormat("%.3g", static_cast<double>(bytes) / 1e3);
  };
  std::vector<std::string> facts = {
      report.self_test ? "self-test: a server that does nothing" : Printable(report.target),
      absl::StrCat(report.api, report.stream ? ", streams" : ", calls", " of ", report.batch,
                   report.batch == 1 ? " picture" : " pictures"),
      absl::StrCat(report.connections, report.connections == 1 ? " connection" : " connections"),
      absl::StrCat(report.picture_count,
                   report.picture_count == 1 ? " picture of " : " pictures of ",
                   kb(report.smallest_bytes),
                   report.smallest_bytes == report.largest_bytes
                       ? ""
                       : absl::StrCat(" to ", kb(report.largest_bytes)),
                   " kB")};
  if (!report.heads.empty()) facts.push_back(Printable(absl::StrJoin(report.heads, " ")));
  return Wrap(absl::StrJoin(facts, between), kWidth - 4);
}

std::string Runs(const bench::Report& report, Style style) {
  Table table(style);
  table.AddTitle(Title(report, style));
  table.AddRule();
  std::vector<std::string> head = {"load", "images/s"};
  for (const bench::Percentile& p : bench::kPercentiles) {
    head.push_back(head.size() == 2 ? absl::StrCat(p.name, " ms") : p.name);
  }
  head.insert(head.end(), {"failed", "of"});
  if (!report.objectives.empty()) head.push_back("slo");
  for (size_t c = 1; c < 9; ++c) table.AlignRight(c);
  table.AddRow(std::move(head));
  table.AddRule();
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const bench::Result& run = report.runs[i];
    const std::string load = bench::LoadText(run.load);
    const bool main = report.runs.size() > 1 && i == report.main_run;
    std::vector<std::string> cells = {main ? style.Bold(load) : load,
                                      absl::StrFormat("%.1f", run.images_per_second())};
    for (const bench::Percentile& p : bench::kPercentiles) {
      cells.push_back(At(run.latency, p.quantile));
    }
    cells.push_back(absl::StrCat(run.requests_failed));
    cells.push_back(absl::StrCat(run.requests()));
    if (!report.objectives.empty()) cells.push_back(run.met ? "met" : "missed");
    table.AddRow(std::move(cells));
  }
  return table.Render();
}

std::string Stages(const bench::Result& run, Style style) {
  double total = 0;
  for (const bench::Histogram& stage : run.stages) total += stage.mean();
  if (total <= 0) return "";
  Table table(style);
  for (size_t c = 1; c < 4; ++c) table.AlignRight(c);
  table.AddRow({"server stage", "mean ms", "p50", "p99", "share"});
  table.AddRule();
  for (size_t s = 0; s < bench::kStageCount; ++s) {
    const bench::Histogram& stage = run.stages[s];
    table.AddRow({bench::kStages[s], Milliseconds(static_cast<int64_t>(stage.mean())),
                  At(stage, 0.5), At(stage, 0.99), style.Bar(stage.mean() / total, 20)});
  }
  return table.Render();
}

std::string Failures(const bench::Result& run, Style style) {
  if (run.failures.empty()) return "";
  Table table(style);
  table.AlignRight(3);
  table.AddRow({"failure of", "code", "reason", "number", "first message"});
  table.AddRule();
  for (const auto& [failure, count] : run.failures) {
    table.AddRow({failure.of_image ? "picture" : "request", Printable(failure.code),
                  Printable(failure.reason), absl::StrCat(count.count),
                  Wrap(Printable(count.example), 40)});
  }
  return table.Render();
}

std::string BatchSizes(const bench::ServerSide& server) {
  std::vector<std::string> parts;
  double before = 0;
  for (const auto& [bound, cumulative] : server.batch_sizes) {
    if (cumulative > before) {
      parts.push_back(std::isinf(bound)
                          ? absl::StrFormat("more: %.0f", cumulative - before)
                          : absl::StrFormat("up to %.0f: %.0f", bound, cumulative - before));
    }
    before = cumulative;
  }
  return absl::StrJoin(parts, ", ");
}

std::string Remarks(const bench::Report& report, const bench::Result& run) {
  std::string text;
  if (report.self_test) {
    absl::StrAppendFormat(&text,
                          "the load tester's own ceiling: %.0f images/s, with its server in the "
                          "same process, on %d cores\n",
                          run.images_per_second(), report.cores);
  }
  if (run.server) {
    absl::StrAppendFormat(
        &text, "server: %.2f images a batch (%s), %.2f cores, %.0f MB resident, %.0f shed\n",
        run.server->batches > 0 ? run.server->batch_images / run.server->batches : 0,
        BatchSizes(*run.server), run.window_s > 0 ? run.server->cpu_s / run.window_s : 0,
        run.server->resident_bytes / 1e6, run.server->shed);
  }
  absl::StrAppendFormat(&text,
                        "load tester: %.2f cores; requests left %s ms (p99) after their time\n",
                        run.wall_s > 0 ? run.client_cpu_s / run.wall_s : 0, At(run.send_lag, 0.99));
  if (run.totals.retries > 0) absl::StrAppend(&text, run.totals.retries, " retries\n");
  if (run.unsent > 0) {
    absl::StrAppend(&text, run.unsent,
                    " requests were not sent: --max-in-flight were waiting for answers; they count "
                    "as failed\n");
  }
  // Late sending is part of each latency, so the figures hold; but it may be the machine's fault.
  if (run.load.rate > 0 && run.latency.count() > 0 &&
      run.send_lag.Quantile(0.99) > std::max<int64_t>(2000000, run.latency.Quantile(0.5) / 5)) {
    text +=
        "requests left late: the load tester or its machine is at its limit, or --max-in-flight is "
        "reached\n";
  }
  if (report.searched) {
    text += report.highest_rate > 0
                ? absl::StrFormat("highest rate that meets the objective: %.4g requests/s\n",
                                  report.highest_rate)
                : std::string("no rate met the objective\n");
  }
  return text;
}

}  // namespace

std::string BenchText(const bench::Report& report, Style style) {
  if (report.runs.empty()) return "";
  const bench::Result& run = report.runs[std::min(report.main_run, report.runs.size() - 1)];
  return absl::StrCat(Runs(report, style), Stages(run, style), Failures(run, style),
                      Remarks(report, run));
}

}  // namespace pixpool::cli
