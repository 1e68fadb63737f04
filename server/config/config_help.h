// What the server prints about its options.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "server/config/config.h"

namespace pixpool {

// Where the value of each option comes from; options with their default are not in it.
using Sources = std::map<std::string, std::string, std::less<>>;

std::string HelpText();
std::string VersionText();
std::string ProblemsText(const std::vector<std::string>& problems);

// The configuration as a file that --config reads, each line with its source as a comment.
std::string ConfigText(const Config& config, const Sources& sources);

}  // namespace pixpool
