#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cli/json_output.h"
#include "client/cli/paths.h"
#include "client/cli/report.h"

namespace pixpool::cli {
namespace {

struct ClassifyFlags {
  ConnectionFlags connection;
  InputFlags input;
  int top = 5;
  std::string format = "table";
};

int RunClassify(const Console& console, const ClassifyFlags& flags) {
  absl::StatusOr<v1::StreamConfig> config =
      flags.input.Config({absl::StrCat("class_scores:top_k=", flags.top)});
  if (!config.ok()) return ReportUsageError(console, config.status());
  absl::StatusOr<Pictures> pictures = flags.input.FindPictures();
  if (!pictures.ok()) return ReportUsageError(console, pictures.status());
  const std::unique_ptr<Writer> writer = flags.format == "json"
                                             ? NewJsonWriter(console.out)
                                             : NewLabelWriter(console.out, console.style);
  return RunAndReport(console, flags.connection, flags.input, *std::move(config),
                      *std::move(pictures), *writer, NamedFailures::kNone);
}

}  // namespace

Command AddClassify(CLI::App& root, const Console& console) {
  auto flags = std::make_shared<ClassifyFlags>();
  CLI::App* app = root.add_subcommand("classify", "Names what is in pictures, with scores.");
  flags->input.Add(*app);
  app->add_option("--top", flags->top, "Labels per picture, 1 to 20")
      ->check(CLI::Range(1, 20).description(""))
      ->type_name("N")
      ->capture_default_str()
      ->group("Output");
  app->add_option("--format", flags->format, "table; json: one object per line")
      ->check(CLI::IsMember({"table", "json"}).description(""))
      ->type_name("FORMAT")
      ->capture_default_str()
      ->group("Output");
  flags->connection.Add(*app);
  app->footer(kExitCodeHelp);
  return {app, [flags, &console] { return RunClassify(console, *flags); }};
}

}  // namespace pixpool::cli
