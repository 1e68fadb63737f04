#include <cstdio>
#include <string>
#include <vector>

#include "server/app/last_words.h"
#include "server/app/serve.h"
#include "server/config/config.h"
#include "server/heads/head_json.h"

extern char** environ;

namespace {

int Main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  std::vector<std::string> environment;
  for (char** e = environ; *e != nullptr; ++e) environment.emplace_back(*e);

  const pixpool::ConfigResult result = pixpool::ParseConfig(args, environment);
  if (result.action == pixpool::ConfigAction::kExit) {
    std::fputs(result.output.c_str(), result.exit_code == 0 ? stdout : stderr);
    return result.exit_code;
  }
  if (result.action == pixpool::ConfigAction::kPrintHeads) {
    // What a full disk or a closed pipe has cut short must not look whole.
    const bool written = std::fputs(pixpool::HeadsJson().c_str(), stdout) >= 0;
    return written && std::fflush(stdout) == 0 ? 0 : 1;
  }
  return pixpool::Serve(result.config, result.warnings);
}

// Runs before the initialisers of the shared libraries, which may find no memory either. Those of
// sanitizers must come first.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
using Initialiser = void (*)();
__attribute__((section(".preinit_array"), used)) const Initialiser kExplain =
    &pixpool::ExplainTermination;
#endif

}  // namespace

int main(int argc, char** argv) {
  pixpool::ExplainTermination();
  return pixpool::RunOrExplain([&] { return Main(argc, argv); });
}
