#include "server/config/config_help.h"

#include <string_view>

#include "absl/strings/str_split.h"
#include "server/base/text.h"
#include "server/base/version.h"
#include "server/config/config_table.h"

namespace pixpool {
namespace {

constexpr size_t kIndent = 32;  // column of the help texts
constexpr size_t kWidth = 100;

// Appends words from column kIndent on, broken before column kWidth. `*out` ends in a line that is
// `column` long.
void AppendWrapped(std::string* out, size_t column, std::string_view text) {
  if (column + 2 > kIndent) {
    *out += '\n';
    column = 0;
  }
  out->append(kIndent - column, ' ');
  column = kIndent;
  for (const absl::string_view word : absl::StrSplit(ToAbsl(text), ' ')) {
    if (column > kIndent && column + 1 + word.size() > kWidth) {
      *out += '\n';
      out->append(kIndent, ' ');
      column = kIndent;
    }
    if (column > kIndent) {
      *out += ' ';
      ++column;
    }
    out->append(word.data(), word.size());
    column += word.size();
  }
  *out += '\n';
}

void AppendEntry(std::string* out, const std::string& flag, std::string_view text) {
  const std::string left = "  " + flag;
  *out += left;
  AppendWrapped(out, left.size(), text);
}

void AppendOption(std::string* out, const OptionRow& row) {
  std::string flag = Concat(row.flag, row.value_name.empty() ? "" : " ", row.value_name);
  std::string about(row.help);
  if (row.kind == OptionKind::kSwitch) flag = Concat("--[no-]", row.name());
  if (row.kind == OptionKind::kChoice || row.kind == OptionKind::kChoices ||
      row.kind == OptionKind::kDevice || row.kind == OptionKind::kNumber ||
      row.kind == OptionKind::kBytes || row.kind == OptionKind::kSample) {
    about += Concat(" Range: ", RangeText(row), ".");
  }
  about += Concat(" Default: ", FormatOption(row, Config{}), ".");
  AppendEntry(out, flag, about);
}

}  // namespace

std::string HelpText() {
  std::string out =
      "Usage: pixpool-server [OPTION...]\n"
      "\n"
      "Serves CNN image features over gRPC.\n"
      "\n"
      "Each option may be given as a flag, as an environment variable (--max-batch-size is\n"
      "PIXPOOL_MAX_BATCH_SIZE) or in a file of lines such as max-batch-size = 8, in this order of\n"
      "precedence. Bytes may carry KiB, MiB or GiB.\n";
  std::string_view group;
  for (const OptionRow& row : OptionTable()) {
    if (row.group.title != group) out += Concat("\n", row.group.title, ":\n");
    group = row.group.title;
    AppendOption(&out, row);
  }
  out += "\nThis command:\n";
  AppendEntry(&out, "--config FILE", "Read options from FILE (or PIXPOOL_CONFIG).");
  AppendEntry(&out, "--check-config", "Check all options and exit: 0 if they are valid, else 2.");
  AppendEntry(&out, "--print-heads",
              "Print the table of heads with their parameters as JSON and exit.");
  AppendEntry(&out, "--print-config",
              "Print all options as a configuration file, with their sources, and exit.");
  AppendEntry(&out, "--version", "Print the version and exit.");
  AppendEntry(&out, "-h, --help", "Print this and exit.");
  return out;
}

std::string VersionText() { return Concat("pixpool-server ", kVersion, "\n"); }

std::string ProblemsText(const std::vector<std::string>& problems) {
  std::string out =
      Concat("pixpool-server: ", problems.size(), problems.size() == 1 ? " problem" : " problems",
             " with the configuration:\n");
  for (const std::string& problem : problems) out += Concat("  ", problem, "\n");
  return out + "See pixpool-server --help.\n";
}

std::string ConfigText(const Config& config, const Sources& sources) {
  std::string out;
  std::string_view group;
  for (const OptionRow& row : OptionTable()) {
    const std::string_view title = row.group.title;
    if (title != group) out += Concat(group.empty() ? "" : "\n", "# ", title, "\n");
    group = title;
    const auto source = sources.find(row.name());
    out += Concat(row.name(), " = ", FormatOption(row, config), "  # ",
                  source == sources.end() ? "default" : source->second, "\n");
  }
  return out;
}

}  // namespace pixpool
