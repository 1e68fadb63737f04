#include <algorithm>
#include <memory>
#include <ostream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/bench/load.h"
#include "client/bench/null_server.h"
#include "client/bench/report.h"
#include "client/bench/search.h"
#include "client/cli/bench_flags.h"
#include "client/cli/bench_text.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/files.h"
#include "client/cli/paths.h"
#include "client/cpp/error.h"
#include "client/cpp/image.h"

namespace pixpool::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  pixpool bench photos/ --concurrency 1,8,32 --html report.html\n"
    "  pixpool bench photos/ --rate 150 --slo p99=100ms\n"
    "  pixpool bench photos/ --search --slo p99=100ms --min-rate 120 --json report.json\n"
    "  pixpool bench photos/ --self-test\n"
    "docs/load-testing.md says how to read the report.\n";

// The loads of a command line, one after the other.
class Runner {
 public:
  Runner(const Console& console, const BenchFlags& flags, bench::RunOptions options,
         const bench::Workload& workload, bench::Report& report)
      : console_(console),
        flags_(flags),
        options_(std::move(options)),
        workload_(workload),
        report_(report) {}

  void RunAll() {
    for (const bench::Load& load : flags_.Loads()) RunOne(load);
    if (flags_.search) Search();
  }

 private:
  const bench::Result& RunOne(const bench::Load& load) {
    options_.load = load;
    if (console_.err_is_terminal) {
      options_.progress = [this, load](const bench::Status& s) {
        console_.err << absl::StrFormat("\r\x1b[K%s  %.1f", bench::LoadText(load), s.elapsed_s);
        if (s.total_s > 0) console_.err << absl::StrFormat("/%.1f", s.total_s);
        console_.err << " s  " << s.answered << " answered  " << s.failed << " failed"
                     << std::flush;
      };
    }
    bench::Result result = bench::RunLoad(options_, workload_);
    if (console_.err_is_terminal) console_.err << "\r\x1b[K" << std::flush;
    result.met = bench::Meets(result, report_.objectives);
    report_.runs.push_back(std::move(result));
    report_.main_run = report_.runs.size() - 1;
    return report_.runs.back();
  }

  void Search() {
    report_.searched = true;
    bench::SearchOptions search;
    search.guess = report_.runs.back().images_per_second() / flags_.batch;
    size_t best = report_.main_run;
    if (search.guess > 0) {
      report_.highest_rate = bench::FindHighestRate(search, [&](double rate) {
        const bench::Result& run = RunOne(flags_.AtRate(rate));
        if (run.met) best = report_.runs.size() - 1;  // each that passes is higher than the last
        return run.met;
      });
    }
    report_.main_run = report_.highest_rate > 0 ? best : report_.runs.size() - 1;
  }

  const Console& console_;
  const BenchFlags& flags_;
  bench::RunOptions options_;
  const bench::Workload& workload_;
  bench::Report& report_;
};

absl::StatusOr<std::vector<std::string>> ReadPictures(const Console& console,
                                                      const InputFlags& input,
                                                      bench::Report& report) {
  const absl::StatusOr<Pictures> found = input.FindPictures();
  if (!found.ok()) return found.status();
  ReportLeftOut(console, found->left_out);
  std::vector<std::string> pictures;
  for (const std::string& path : found->paths) {
    absl::StatusOr<v1::Image> image = client::ImageFromFile(path);
    if (!image.ok()) return image.status();
    const uint64_t size = image->encoded().size();
    report.smallest_bytes = pictures.empty() ? size : std::min(report.smallest_bytes, size);
    report.largest_bytes = std::max(report.largest_bytes, size);
    pictures.push_back(std::move(*image->mutable_encoded()));
  }
  report.picture_count = pictures.size();
  return pictures;
}

void Describe(const BenchFlags& flags, bench::Report& report) {
  report.version = PIXPOOL_VERSION;
  report.started = absl::FormatTime(absl::RFC3339_sec, absl::Now(), absl::UTCTimeZone());
  report.api = flags.api;
  report.stream = flags.stream;
  report.retry = flags.retry;
  report.self_test = flags.self_test;
  report.batch = flags.batch;
  report.connections = flags.connections;
  report.cores = static_cast<int>(std::thread::hardware_concurrency());
  report.model = flags.input.model;
  report.heads = flags.heads;
}

absl::Status WriteReports(const BenchFlags& flags, const bench::Report& report) {
  absl::Status status;
  if (!flags.json.empty()) status.Update(WriteFile(flags.json, bench::ReportJson(report)));
  if (!flags.csv.empty()) status.Update(WriteFile(flags.csv, bench::ReportCsv(report)));
  if (!flags.html.empty()) status.Update(WriteFile(flags.html, bench::ReportHtml(report)));
  return status;
}

int Verdict(const BenchFlags& flags, const bench::Report& report) {
  if (report.searched) {
    const bool found = report.highest_rate > 0 && report.highest_rate >= flags.min_rate;
    return found ? kExitOk : kExitObjective;
  }
  bool failed = false;
  for (const bench::Result& run : report.runs) {
    if (!run.met || run.images_per_second() / flags.batch < flags.min_rate) return kExitObjective;
    failed = failed || run.requests_failed > 0;
  }
  // With an objective, how many may fail is part of it.
  return failed && report.objectives.empty() ? kExitSomeFailed : kExitOk;
}

int RunBench(const Console& console, const BenchFlags& flags) {
  if (const absl::Status s = flags.Check(); !s.ok()) return ReportUsageError(console, s);
  bench::Report report;
  Describe(flags, report);
  auto objectives = flags.Objectives();
  if (!objectives.ok()) return ReportUsageError(console, objectives.status());
  report.objectives = *std::move(objectives);
  const auto workload_options = flags.Workload();
  if (!workload_options.ok()) return ReportUsageError(console, workload_options.status());
  auto pictures = ReadPictures(console, flags.input, report);
  if (!pictures.ok()) return ReportUsageError(console, pictures.status());
  const auto workload = bench::Workload::Make(*workload_options, *std::move(pictures));
  if (!workload.ok()) return ReportUsageError(console, workload.status());

  bench::RunOptions options;
  auto transport = flags.Transport();
  if (!transport.ok()) return ReportUsageError(console, transport.status());
  options.transport = *std::move(transport);
  if (!flags.metrics.empty()) {
    auto url = bench::ParseMetricsUrl(flags.metrics);
    if (!url.ok()) return ReportUsageError(console, url.status());
    options.metrics = *std::move(url);
    const auto samples = bench::FetchSamples(options.metrics, options.transport.timeout);
    if (!samples.ok()) return ReportError(console, samples.status(), flags.metrics);
  }
  std::unique_ptr<bench::NullServer> null_server;
  if (flags.self_test) {
    auto started = bench::NullServer::Start(*workload);
    if (!started.ok()) return ReportError(console, started.status(), "");
    null_server = *std::move(started);
    options.transport.target = null_server->target();
    options.transport.entry = nullptr;
  }
  report.target = options.transport.target;
  if (!flags.no_probe) {
    const absl::Status probe = bench::Probe(options.transport, *workload, report.other);
    // A server that sheds is one to measure, whatever the reason that it gives.
    const bool sheds = absl::IsUnavailable(probe) && !client::GetErrorDetails(probe).reason.empty();
    if (!probe.ok() && !sheds) return ReportError(console, probe, options.transport.target);
  }

  Runner(console, flags, options, *workload, report).RunAll();
  console.out << BenchText(report, console.style) << std::flush;
  if (const absl::Status s = WriteReports(flags, report); !s.ok()) {
    console.err << "pixpool: " << Printable(s.message()) << "\n";
    return kExitInternal;
  }
  return Verdict(flags, report);
}

}  // namespace

Command AddBench(CLI::App& root, const Console& console) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* app = root.add_subcommand(
      "bench", "Loads a server with pictures and reports rate, latencies and failures.");
  flags->Add(*app);
  app->footer(absl::StrCat(kExamples, "\n", kExitCodeHelp));
  return {app, [flags, &console] { return RunBench(console, *flags); }};
}

}  // namespace pixpool::cli
