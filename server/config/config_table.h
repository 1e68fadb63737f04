// The options as a table: names, help, ranges, and where each lives in Config. Parsing, help,
// printing and checking all read it, so a new option is one member of Config and one row.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "server/config/config.h"

namespace pixpool {

enum class OptionKind {
  kSwitch,   // true or false
  kNumber,   // whole number
  kBytes,    // whole number, or one with KiB, MiB or GiB
  kText,     // any text
  kAddress,  // host:port
  kChoice,   // one of `choices`
  kDevice,   // auto, cpu, cuda, cuda:N
};

using ConfigMember =
    std::variant<bool Config::*, int Config::*, int64_t Config::*, std::string Config::*>;

// A row of the table.
struct OptionRow {
  std::string_view group;       // heading in --help
  std::string_view name;        // "max-batch-size"
  std::string_view value_name;  // "COUNT"; empty for switches
  std::string_view help;
  OptionKind kind;
  ConfigMember member;
  int64_t min = 0;  // of numbers
  int64_t max = 0;
  std::string_view choices = "";  // "debug|info"
  bool may_be_empty = false;      // of texts
};

// All options in the order of --help.
std::span<const OptionRow> OptionTable();

const OptionRow* FindOption(std::string_view name);  // nullptr if there is none

// PIXPOOL_MAX_BATCH_SIZE for max-batch-size.
std::string EnvironmentName(std::string_view option);

// What values a row takes: "1 to 1024", "debug, info".
std::string RangeText(const OptionRow& row);

// Sets the row's member from text. The problem in words, without the option's name; nullopt if
// there is none.
std::optional<std::string> SetOption(const OptionRow& row, std::string_view text, Config* config);

// The row's value as it stands in a configuration file: 8, true, "info".
std::string FormatOption(const OptionRow& row, const Config& config);

// `, did you mean "x"?` for the nearest of `names`; empty if none is near.
std::string DidYouMean(std::string_view wrong, const std::vector<std::string>& names);

// Host and port of an address that SetOption accepted.
struct HostPort {
  std::string host;
  int port = 0;
};
std::optional<HostPort> ParseAddress(std::string_view address);

}  // namespace pixpool
