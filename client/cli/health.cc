#include <memory>
#include <ostream>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"
#include "client/cpp/client.h"

namespace pixpool::cli {
namespace {

struct HealthFlags {
  ConnectionFlags connection;
  std::string model;
  double wait_s = 0;
};

int RunHealth(const Console& console, const HealthFlags& flags) {
  const auto client = flags.connection.Connect(console);
  if (!client.ok()) return ReportUsageError(console, client.status());
  if (flags.wait_s > 0) {
    const absl::Status status = (*client)->WaitUntilReady(absl::Seconds(flags.wait_s), flags.model);
    if (absl::IsDeadlineExceeded(status)) {
      console.err << "pixpool: " << Printable(status.message()) << "\n";
      return kExitUnavailable;
    }
    if (!status.ok()) return ReportError(console, status, flags.connection.target);
    console.out << "SERVING\n";
    return kExitOk;
  }
  const absl::StatusOr<client::Health> health = (*client)->CheckHealth(flags.model);
  if (!health.ok()) return ReportError(console, health.status(), flags.connection.target);
  const bool serving = *health == client::Health::kServing;
  console.out << (serving ? "SERVING" : "NOT_SERVING") << "\n";
  return serving ? kExitOk : kExitUnavailable;
}

}  // namespace

Command AddHealth(CLI::App& root, const Console& console) {
  auto flags = std::make_shared<HealthFlags>();
  CLI::App* app = root.add_subcommand(
      "health", "Prints SERVING (exit code 0) or NOT_SERVING (3) of the server or of one model.");
  app->add_option("--model", flags->model, "Model; default: the whole server")->type_name("NAME");
  app->add_option("--wait", flags->wait_s, "Seconds to wait until it serves; 0: ask once")
      ->check(CLI::Range(0.0, 1e6).description(""))
      ->type_name("SECONDS")
      ->capture_default_str();
  flags->connection.Add(*app);
  app->footer(kExitCodeHelp);
  return {app, [flags, &console] { return RunHealth(console, *flags); }};
}

}  // namespace pixpool::cli
