// The options of Config as a table, in the order of --help. Parsing, help, printing and checking
// all read it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/option.h"
#include "server/config/config.h"

namespace pixpool {

// A row of the table.
struct OptionRow : OptionSpec {
  size_t position;  // among the options of Config, as they are declared
};

// All options in the order of --help.
std::span<const OptionRow> OptionTable();

const OptionRow* FindOption(std::string_view name);  // nullptr if there is none

// PIXPOOL_MAX_BATCH_SIZE for max-batch-size.
std::string EnvironmentName(std::string_view option);

// What values a row takes: "1 to 1024", "debug, info".
std::string RangeText(const OptionRow& row);

// Sets the row's option from text. The problem in words, without the option's name; nullopt if
// there is none.
std::optional<std::string> SetOption(const OptionRow& row, std::string_view text, Config* config);

// The row's value as it stands in a configuration file: 8, true, "info".
std::string FormatOption(const OptionRow& row, const Config& config);

// `, did you mean "x"?` for the nearest of `names`; empty if none is near.
std::string DidYouMean(std::string_view wrong, const std::vector<std::string>& names);

}  // namespace pixpool
