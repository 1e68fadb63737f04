// The file of options: its lines by themselves, then as --config has them, with every check.
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "server/config/config.h"
#include "server/config/config_file.h"
#include "tests/fuzz/require.h"

namespace pixpool {
namespace {

using testing::Require;

// A file in memory with this text; there is one, whose name this is.
std::string InFile(std::string_view text) {
  static const int file = memfd_create("options", 0);
  const auto size = static_cast<ssize_t>(text.size());
  Require(file >= 0 && ftruncate(file, 0) == 0 && pwrite(file, text.data(), text.size(), 0) == size,
          "there is memory for a file");
  return "/proc/self/fd/" + std::to_string(file);
}

void Try(std::string_view text) {
  std::vector<std::string> problems;
  for (const RawValue& value : ParseConfigText(text, "here", &problems)) {
    Require(!value.name.empty() && value.source.starts_with("here:"), "a value has its line");
  }
  for (const std::string& problem : problems) {
    Require(problem.starts_with("here:"), "a problem has its line");
  }
  // The rest takes a hundred times as long, and of most bytes no more comes to light by it.
  if (!problems.empty() && std::hash<std::string_view>()(text) % 16 != 0) return;
  const ConfigResult result = ParseConfig({"--config", InFile(text), "--check-config"}, {});
  Require(result.action == ConfigAction::kExit, "a check ends");
  Require(result.exit_code == 0 || (result.exit_code == 2 && !result.output.empty()),
          "what is wrong is said");
  Require(problems.empty() || result.exit_code == 2, "a line that cannot be read is a problem");
}

}  // namespace
}  // namespace pixpool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pixpool::Try(pixpool::testing::AsText(data, size));
  return 0;
}
