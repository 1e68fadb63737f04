#include "server/config/config.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "server/base/json_text.h"
#include "server/base/text.h"
#include "server/config/config_check.h"
#include "server/config/config_file.h"
#include "server/config/config_help.h"
#include "server/config/config_table.h"

namespace pixpool {
namespace {

constexpr std::string_view kPrefix = "PIXPOOL_";

// Everything that the command line asks for besides options of the table.
struct Actions {
  bool help = false;
  bool version = false;
  bool print_config = false;
  bool check_config = false;
  bool print_heads = false;
};

// A configuration in the making.
struct Parse {
  Actions actions;
  std::optional<std::string> config_path;
  std::vector<RawValue> flags;
  std::vector<RawValue> environment;
  std::vector<RawValue> file;
  std::vector<std::string> problems;
};

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(&out, text.substr(0, 80));
  return out;
}

std::vector<std::string> Names(std::string_view before, std::vector<std::string> names) {
  for (const OptionRow& row : OptionTable()) names.emplace_back(row.name());
  for (std::string& name : names) name.insert(0, before);
  return names;
}

// The action of a flag, nullptr if it is none.
bool* FindAction(std::string_view name, Actions* actions) {
  if (name == "help") return &actions->help;
  if (name == "version") return &actions->version;
  if (name == "print-config") return &actions->print_config;
  if (name == "check-config") return &actions->check_config;
  if (name == "print-heads") return &actions->print_heads;
  return nullptr;
}

// One flag. `value` is what stood after an equals sign, `next` the next argument if it can be a
// value. Returns whether `next` was used up.
bool ReadFlag(const std::string& name, const std::optional<std::string>& value,
              const std::string* next, Parse* parse) {
  std::vector<std::string>& problems = parse->problems;
  if (bool* action = FindAction(name, &parse->actions)) {
    *action = true;
    if (value) problems.push_back(Concat("--", name, ": takes no value"));
    return false;
  }
  const OptionRow* row = FindOption(name);
  if (row == nullptr && name.starts_with("no-")) {
    const OptionRow* positive = FindOption(name.substr(3));
    if (positive != nullptr && positive->kind == OptionKind::kSwitch) {
      if (value) problems.push_back(Concat("--", name, ": takes no value"));
      parse->flags.push_back({std::string(positive->name()), "false", "flag"});
      return false;
    }
  }
  if (row == nullptr && name != "config") {
    const auto names =
        Names("--", {"config", "help", "version", "print-config", "check-config", "print-heads"});
    problems.push_back(
        Concat("unknown flag ", Quoted("--" + name), DidYouMean("--" + name, names)));
    return false;
  }
  if (row != nullptr && row->kind == OptionKind::kSwitch) {
    parse->flags.push_back({name, value.value_or("true"), "flag"});
    return false;
  }
  if (!value && next == nullptr) {
    problems.push_back(Concat("--", name, ": needs a value"));
    return false;
  }
  parse->flags.push_back({name, value ? *value : *next, "flag"});
  return !value;
}

void ReadFlags(const std::vector<std::string>& args, Parse* parse) {
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "-h") {
      parse->actions.help = true;
      continue;
    }
    if (!arg.starts_with("--") || arg.size() == 2) {
      parse->problems.push_back(
          Concat("unexpected argument ", Quoted(arg), "; options start with --"));
      continue;
    }
    const size_t equals = arg.find('=');
    std::optional<std::string> value;
    if (equals != arg.npos) value = arg.substr(equals + 1);
    const bool has_next = i + 1 < args.size() && !args[i + 1].starts_with("--");
    const std::string name = arg.substr(2, equals == arg.npos ? arg.npos : equals - 2);
    if (ReadFlag(name, value, has_next ? &args[i + 1] : nullptr, parse)) ++i;
  }
}

bool IsDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// Kubernetes puts the addresses of services into the environment of every container. For a service
// called "pixpool" or "pixpool-...", these start with our prefix: PIXPOOL_SERVICE_HOST,
// PIXPOOL_PORT_50051_TCP_ADDR and so on.
bool IsServiceLink(std::string_view name) {
  const std::vector<std::string> words = absl::StrSplit(ToAbsl(name), '_');
  for (size_t i = 1; i < words.size(); ++i) {
    const bool last = i + 1 == words.size();
    if (words[i - 1] == "SERVICE" && (words[i] == "PORT" || (words[i] == "HOST" && last))) {
      return true;
    }
    if (words[i] == "PORT" && (last || (IsDigits(words[i + 1]) && i + 2 < words.size()))) {
      return true;
    }
  }
  return false;
}

// Variables of the project that are not the server's: the command's target, and those of ./run and
// ./test. tests/style/test_options.py holds the list to the scripts.
constexpr std::string_view kForOthers[] = {
    "PIXPOOL_TARGET",     "PIXPOOL_TLS",         "PIXPOOL_CA",         "PIXPOOL_CLIENT_CERT",
    "PIXPOOL_CLIENT_KEY", "PIXPOOL_SERVER_NAME", "PIXPOOL_TOKEN_FILE", "PIXPOOL_ALLOW_PLAIN_TOKEN",
    "PIXPOOL_HEADERS",    "PIXPOOL_TORCH",       "PIXPOOL_PYTHON",     "PIXPOOL_JOBS",
    "PIXPOOL_LOCK",
};

bool IsForOthers(std::string_view name) {
  return name.starts_with("PIXPOOL_TEST_") ||
         std::find(std::begin(kForOthers), std::end(kForOthers), name) != std::end(kForOthers);
}

void ReadEnvironment(const std::vector<std::string>& environment, Parse* parse) {
  std::map<std::string, std::string> options;  // by the variable's name
  for (const OptionRow& row : OptionTable()) {
    options[EnvironmentName(row.name())] = std::string(row.name());
  }
  options["PIXPOOL_CONFIG"] = "config";
  std::vector<std::string> names;
  for (const auto& [variable, option] : options) names.push_back(variable);
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    const std::string variable = entry.substr(0, equals);
    if (!variable.starts_with(kPrefix) || equals == entry.npos) continue;
    const auto found = options.find(variable);
    if (found != options.end()) {
      parse->environment.push_back({found->second, entry.substr(equals + 1), "environment"});
    } else if (!IsServiceLink(variable) && !IsForOthers(variable)) {
      parse->problems.push_back(
          Concat("unknown environment variable ", Quoted(variable), DidYouMean(variable, names)));
    }
  }
}

// Takes the value of --config out of a list.
void TakeConfigPath(std::vector<RawValue>* values, Parse* parse) {
  const auto is_config = [](const RawValue& raw) { return raw.name == "config"; };
  for (const RawValue& raw : *values) {
    if (!is_config(raw)) continue;
    if (raw.value.empty()) parse->problems.push_back("--config: must not be empty");
    parse->config_path = raw.value;
  }
  std::erase_if(*values, is_config);
}

// Makes one value of those of a list that is given again, at the place of the first.
void JoinLists(std::vector<RawValue>* values) {
  std::map<std::string, std::string*> first;
  std::vector<RawValue> joined;
  joined.reserve(values->size());  // pointers into it must hold
  for (RawValue& raw : *values) {
    const OptionRow* const row = FindOption(raw.name);
    const bool is_list = row != nullptr && row->kind == OptionKind::kListen;
    if (is_list && first.contains(raw.name)) {
      *first[raw.name] += "," + raw.value;
      continue;
    }
    joined.push_back(std::move(raw));
    if (is_list) first[joined.back().name] = &joined.back().value;
  }
  *values = std::move(joined);
}

void CheckTwice(const std::vector<RawValue>& values, std::vector<std::string>* problems) {
  std::map<std::string, std::string> first;  // where each name was seen
  for (const RawValue& raw : values) {
    const auto [at, fresh] = first.emplace(raw.name, raw.source);
    if (fresh) continue;
    problems->push_back(raw.source == "flag" ? Concat("--", raw.name, ": given twice")
                                             : Concat(raw.source, ": ", Quoted(raw.name),
                                                      " was set already at ", at->second));
  }
}

// How a problem names the option, by where its value comes from.
std::string Label(const RawValue& raw) {
  if (raw.source == "flag") return "--" + raw.name;
  if (raw.source == "environment") return EnvironmentName(raw.name);
  return Concat(raw.source, ": ", raw.name);
}

void Apply(const std::vector<RawValue>& values, Config* config, Sources* sources,
           std::vector<std::string>* problems) {
  for (const RawValue& raw : values) {
    const OptionRow* row = FindOption(raw.name);
    if (row == nullptr) {  // only the file can hold one
      problems->push_back(Concat(raw.source, ": unknown option ", Quoted(raw.name),
                                 DidYouMean(raw.name, Names("", {}))));
      continue;
    }
    if (const auto problem = SetOption(*row, raw.value, config)) {
      problems->push_back(Concat(Label(raw), ": ", Quoted(raw.value), " ", *problem));
    }
    (*sources)[raw.name] = raw.source;
  }
}

// Variables of clients that somebody may have set for the server: it would be open where he thinks
// that it is not.
std::vector<std::string> FindMistaken(const std::vector<std::string>& environment,
                                      const Config& config) {
  const auto& certificate = config.rpc.tls.certificate;
  const auto& tokens = config.rpc.tokens;
  std::vector<std::string> warnings;
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    const std::string_view name = std::string_view(entry).substr(0, equals);
    const std::string value =
        absl::AsciiStrToLower(equals == entry.npos ? "" : entry.substr(equals + 1));
    const bool off = value.empty() || value == "0" || value == "false";
    if (name == "PIXPOOL_TLS" && !off && certificate.value().empty()) {
      warnings.push_back(Concat(name, " is for clients: this server speaks plain text without ",
                                certificate.flag(), " and ", config.rpc.tls.key.flag()));
    }
    if (name == "PIXPOOL_TOKEN_FILE" && !off && tokens.value().empty()) {
      warnings.push_back(
          Concat(name, " is for clients: this server asks for no token without ", tokens.flag()));
    }
  }
  return warnings;
}

ConfigResult Exit(Config config, int code, std::string output) {
  return {std::move(config), ConfigAction::kExit, code, std::move(output)};
}

}  // namespace

ConfigResult ParseConfig(const std::vector<std::string>& args,
                         const std::vector<std::string>& environment) {
  Parse parse;
  ReadFlags(args, &parse);
  if (parse.actions.help) return Exit({}, 0, HelpText());
  if (parse.actions.version) return Exit({}, 0, VersionText());
  ReadEnvironment(environment, &parse);
  JoinLists(&parse.flags);
  CheckTwice(parse.flags, &parse.problems);
  TakeConfigPath(&parse.environment, &parse);
  TakeConfigPath(&parse.flags, &parse);
  if (parse.config_path && !parse.config_path->empty()) {
    parse.file = ReadConfigFile(*parse.config_path, &parse.problems);
    CheckTwice(parse.file, &parse.problems);
  }

  Config config;
  Sources sources;
  Apply(parse.file, &config, &sources, &parse.problems);
  Apply(parse.environment, &config, &sources, &parse.problems);
  Apply(parse.flags, &config, &sources, &parse.problems);
  for (std::string& problem : FindContradictions(config)) {
    parse.problems.push_back(std::move(problem));
  }
  if (!parse.problems.empty()) return Exit(config, 2, ProblemsText(parse.problems));
  if (parse.actions.print_heads) return {.config = {}, .action = ConfigAction::kPrintHeads};
  if (parse.actions.print_config) return Exit(config, 0, ConfigText(config, sources));
  std::vector<std::string> warnings = FindMistaken(environment, config);
  if (parse.actions.check_config) {
    std::string text = "configuration is valid\n";
    for (const std::string& warning : warnings) text += Concat("warning: ", warning, "\n");
    return Exit(config, 0, std::move(text));
  }
  return {.config = std::move(config), .warnings = std::move(warnings)};
}

}  // namespace pixpool
