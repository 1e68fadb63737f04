#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pixpool {

// A value as it was given, before it is checked.
struct RawValue {
  std::string name;  // of the option
  std::string value;
  std::string source;  // "flag", "environment", "pixpool.toml:12"
};

// Reads a configuration file: lines `name = value`, of TOML those parts that a flat list of options
// needs: comments, "basic" and 'literal' strings, whole numbers, true and false. Every problem is
// added to `problems` with its line; what can be read is returned all the same.
std::vector<RawValue> ReadConfigFile(const std::string& path, std::vector<std::string>* problems);

// The same for text; `path` is what problems and sources name.
std::vector<RawValue> ParseConfigText(std::string_view text, const std::string& path,
                                      std::vector<std::string>* problems);

}  // namespace pixpool
