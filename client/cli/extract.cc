#include <fstream>
#include <memory>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/json_output.h"
#include "client/cli/npy.h"
#include "client/cli/paths.h"
#include "client/cli/report.h"
#include "client/cpp/error.h"

namespace pixpool::cli {
namespace {

constexpr char kDescription[] = "Extracts features of pictures with the heads asked for.";
constexpr char kHeadHelp[] =
    "A head is kind[:parameter=value,...]:\n"
    "  --head global_avg\n"
    "  --head gem:p=3,layer=stage5,l2\n"
    "  --head max_pool:kernel_size=3x3,stride=2\n"
    "  --head gem:projection=NAME,dimensions=128,encoding=int8\n"
    "  --head class_scores:top_k=5\n"
    "Several --head run from one pass. `pixpool models NAME` lists kinds, parameters, layers "
    "and projections.\n";

struct ExtractFlags {
  ConnectionFlags connection;
  InputFlags input;
  std::vector<std::string> heads;
  std::string format = "table";
  std::string output;
};

// Names failed pictures on the error output, then passes everything on. Leaves out the error that
// ends the run, which is reported anyway.
class FailureLister final : public Writer {
 public:
  FailureLister(std::ostream& err, Writer& next) : err_(err), next_(next) {}
  absl::Status Add(const ImageOutcome& outcome) override {
    if (!outcome.status.ok() && !EndsRun(outcome)) {
      err_ << "pixpool: " << Printable(outcome.path) << ": "
           << Printable(client::Describe(outcome.status)) << "\n";
    }
    return next_.Add(outcome);
  }
  absl::Status Finish() override { return next_.Finish(); }

 private:
  std::ostream& err_;
  Writer& next_;
};

int RunExtract(const Console& console, const ExtractFlags& flags) {
  absl::StatusOr<v1::StreamConfig> config = flags.input.Config(flags.heads);
  if (!config.ok()) return ReportUsageError(console, config.status());
  absl::StatusOr<std::vector<std::string>> paths = ExpandPaths(flags.input.paths);
  if (!paths.ok()) return ReportUsageError(console, paths.status());
  if (flags.format == "npy" && flags.output.empty()) {
    return ReportUsageError(console,
                            absl::InvalidArgumentError("--format npy needs --output FILE.npy"));
  }

  std::ofstream file;
  std::ostream* out = &console.out;
  Style style = console.style;
  if (!flags.output.empty() && flags.format != "npy") {
    file.open(flags.output, std::ios::trunc);
    if (!file) {
      console.err << "pixpool: cannot write " << Printable(flags.output) << "\n";
      return kExitInternal;
    }
    out = &file;
    style.colour = false;
  }
  std::unique_ptr<Writer> writer;
  if (flags.format == "npy") {
    writer = NewNpyWriter(flags.output);
  } else if (flags.format == "json") {
    writer = NewJsonWriter(*out);
  } else {
    writer = NewReportWriter(*out, {config->heads().begin(), config->heads().end()}, style);
  }
  return RunAndReport(console, flags.connection, flags.input, *std::move(config), *std::move(paths),
                      *writer, flags.format == "npy");
}

}  // namespace

int RunAndReport(const Console& console, const ConnectionFlags& connection, const InputFlags& input,
                 v1::StreamConfig config, std::vector<std::string> paths, Writer& writer,
                 bool list_failures) {
  const auto client = connection.Connect(console);
  if (!client.ok()) return ReportUsageError(console, client.status());
  Job job;
  job.paths = std::move(paths);
  job.config = std::move(config);
  job.concurrency = input.concurrency;
  job.stream = input.stream;
  job.timeout = connection.timeout();

  Progress progress(console.err, console.err_is_terminal && job.paths.size() > 1, job.paths.size(),
                    console.timer);
  FailureLister lister(console.err, writer);
  const Summary summary =
      Run(**client, job, list_failures ? static_cast<Writer&>(lister) : writer, progress);

  if (!summary.output.ok()) {
    console.err << "pixpool: " << Printable(summary.output.message()) << "\n";
    return summary.exit_code;
  }
  if (!summary.fatal.ok()) ReportError(console, summary.fatal, connection.target);
  if (summary.done < summary.total) {
    console.err << "pixpool: stopped after " << summary.done << " of " << summary.total
                << " pictures\n";
  } else if (summary.failed > 0) {
    console.err << "pixpool: " << summary.failed << " of " << summary.total << " pictures failed\n";
  }
  return summary.exit_code;
}

Command AddExtract(CLI::App& root, const Console& console) {
  auto flags = std::make_shared<ExtractFlags>();
  CLI::App* app = root.add_subcommand("extract", kDescription);
  flags->input.Add(*app);
  flags->input.AddPasses(*app);
  app->add_option("--head", flags->heads, "Head, as below; repeatable. Default: global_avg")
      ->type_name("HEAD")
      ->allow_extra_args(false)  // what follows its value is a path
      ->group("Model");
  app->add_option("--format", flags->format,
                  "table; json: one object per line; npy: arrays, one file per head")
      ->check(CLI::IsMember({"table", "json", "npy"}).description(""))
      ->type_name("FORMAT")
      ->capture_default_str()
      ->group("Output");
  app->add_option("--output", flags->output, "File to write; default: standard output")
      ->type_name("FILE")
      ->group("Output");
  flags->connection.Add(*app);
  app->footer(absl::StrCat(kHeadHelp, "\n", kExitCodeHelp));
  return {app, [flags, &console] { return RunExtract(console, *flags); }};
}

}  // namespace pixpool::cli
