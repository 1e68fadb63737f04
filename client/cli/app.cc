#include <exception>
#include <ostream>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/exit_code.h"

namespace pixpool::cli {

int Main(int argc, const char* const* argv, const Console& console) {
  CLI::App root("pixpool: turns pictures into CNN features, with pooling chosen per request.");
  root.name("pixpool");
  root.footer(kExitCodeHelp);
  root.set_version_flag("--version", "pixpool " PIXPOOL_VERSION);
  root.require_subcommand(1);
  const std::vector<Command> commands = {AddExtract(root, console), AddClassify(root, console),
                                         AddHeatmap(root, console), AddModels(root, console),
                                         AddHealth(root, console),  AddBench(root, console)};
  try {
    root.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    // CLI11 has its own codes; ours are 0 (help, version) and 2.
    return root.exit(e, console.out, console.err) == 0 ? kExitOk : kExitUsage;
  } catch (const std::exception& e) {
    console.err << "pixpool: " << e.what() << "\n";
    return kExitUsage;
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return kExitUsage;
}

}  // namespace pixpool::cli
