#include <cerrno>
#include <fstream>
#include <limits>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/files.h"
#include "client/cli/json_output.h"
#include "client/cli/npy.h"
#include "client/cli/paths.h"
#include "client/cli/region_flags.h"
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
  RegionFlags regions;
  std::vector<std::string> heads;
  std::string format = "table";
  std::string output;
};

constexpr size_t kFirstFailures = 10;

// Names up to `most` failed pictures on the error output, and passes everything on. Leaves out the
// error that ends the run, which is reported anyway.
class FailureLister final : public Writer {
 public:
  FailureLister(std::ostream& err, Writer& next, size_t most)
      : err_(err), next_(next), left_(most) {}
  absl::Status Add(const ImageOutcome& outcome) override {
    if (!outcome.status.ok() && !EndsRun(outcome) && left_ > 0) {
      --left_;
      err_ << "pixpool: " << Printable(outcome.path) << ": "
           << Printable(client::Describe(outcome.status)) << "\n";
    }
    return next_.Add(outcome);
  }
  absl::Status Finish() override { return next_.Finish(); }

 private:
  std::ostream& err_;
  Writer& next_;
  size_t left_;
};

// Says on the error output, once each, what pictures have to remark on the options of the run; then
// passes everything on.
class OptionAdviser final : public Writer {
 public:
  OptionAdviser(std::ostream& err, Writer& next) : err_(err), next_(next) {}
  absl::Status Add(const ImageOutcome& outcome) override {
    for (const std::string& warning : outcome.features.warnings()) {
      if (NamesAnOption(warning) && shown_.insert(warning).second) {
        err_ << "pixpool: " << Printable(outcome.path) << ": " << Printable(warning)
             << "; not said again of others\n";
      }
    }
    return next_.Add(outcome);
  }
  absl::Status Finish() override { return next_.Finish(); }

 private:
  std::ostream& err_;
  Writer& next_;
  std::set<std::string> shown_;
};

size_t MostNamed(NamedFailures named) {
  switch (named) {
    case NamedFailures::kNone:
      return 0;
    case NamedFailures::kFirst:
      return kFirstFailures;
    case NamedFailures::kAll:
      return std::numeric_limits<size_t>::max();
  }
  return 0;
}

int RunExtract(const Console& console, const ExtractFlags& flags) {
  absl::StatusOr<v1::StreamConfig> config = flags.input.Config(flags.heads);
  if (!config.ok()) return ReportUsageError(console, config.status());
  auto regions = flags.regions.Regions();
  if (!regions.ok()) return ReportUsageError(console, regions.status());
  const absl::Status applied = flags.regions.Apply(*config);
  if (!applied.ok()) return ReportUsageError(console, applied);
  absl::StatusOr<Pictures> pictures = flags.input.FindPictures();
  if (!pictures.ok()) return ReportUsageError(console, pictures.status());
  if (flags.format == "npy" && flags.output.empty()) {
    return ReportUsageError(console,
                            absl::InvalidArgumentError("--format npy needs --output FILE.npy"));
  }

  std::ofstream file;
  std::ostream* out = &console.out;
  Style style = console.style;
  if (!flags.output.empty() && flags.format != "npy") {
    errno = 0;
    file.open(flags.output, std::ios::trunc);
    if (!file) {
      console.err << "pixpool: " << Printable(CannotWrite(flags.output, errno).message()) << "\n";
      return kExitInternal;
    }
    out = &file;
    style.colour = false;
  }
  const std::string name = flags.output.empty() ? "standard output" : flags.output;
  std::unique_ptr<Writer> writer;
  NamedFailures named = flags.output.empty() ? NamedFailures::kNone : NamedFailures::kFirst;
  if (flags.format == "npy") {
    named = NamedFailures::kAll;
    writer = NewNpyWriter(flags.output);
  } else if (flags.format == "json") {
    writer = NewJsonWriter(*out, name);
  } else {
    writer = NewReportWriter(*out, {config->heads().begin(), config->heads().end()}, style, name);
  }
  const int code = RunAndReport(console, flags.connection, flags.input, *std::move(config),
                                *std::move(pictures), *writer, named, *std::move(regions));
  if (file.is_open()) {
    file.close();
    if (!file && flags.format == "json") KeepWholeLines(flags.output);
  }
  return code;
}

}  // namespace

int RunAndReport(const Console& console, const ConnectionFlags& connection, const InputFlags& input,
                 v1::StreamConfig config, Pictures pictures, Writer& writer, NamedFailures named,
                 std::vector<v1::Region> regions) {
  const auto client = connection.Connect(console);
  if (!client.ok()) return ReportUsageError(console, client.status());
  Job job;
  ReportLeftOut(console, pictures.left_out);
  job.paths = std::move(pictures.paths);
  job.config = std::move(config);
  job.regions = std::move(regions);
  job.concurrency = input.concurrency;
  job.stream = input.stream;
  job.timeout = connection.timeout();

  Progress progress(console.err, console.err_is_terminal && job.paths.size() > 1, job.paths.size(),
                    console.timer);
  FailureLister lister(console.err, writer, MostNamed(named));
  OptionAdviser adviser(console.err, lister);
  Summary summary = Run(**client, job, adviser, progress);

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
  if (const std::string note = writer.Note(); !note.empty()) {
    console.err << "pixpool: " << Printable(note) << "\n";
  }
  if (const size_t count = pictures.left_out.unreadable.size(); count > 0) {
    console.err << "pixpool: left out " << count << " folders or links that cannot be read\n";
    if (summary.exit_code == kExitOk) summary.exit_code = kExitSomeFailed;
  }
  return summary.exit_code;
}

void ReportLeftOut(const Console& console, const LeftOut& left_out) {
  for (const std::string& line : left_out.Lines()) {
    console.err << "pixpool: " << Printable(line) << "\n";
  }
}

Command AddExtract(CLI::App& root, const Console& console) {
  auto flags = std::make_shared<ExtractFlags>();
  CLI::App* app = root.add_subcommand("extract", kDescription);
  flags->input.Add(*app);
  flags->input.AddPasses(*app);
  flags->regions.Add(*app);
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
