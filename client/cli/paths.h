// Which pictures a command line means.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/folder.h"

namespace pixpool::cli {

struct Pictures {
  std::vector<std::string> paths;
  LeftOut left_out;  // of the folders
};

// Replaces directories by the pictures in and below them (AddPictures) and shell patterns
// (* ? [...]) by what they match, sorted. A path that exists is never taken for a pattern. A file
// named outright is taken whatever its name.
//
// NOT_FOUND for a path that does not exist, a pattern that matches nothing, or where there is no
// picture at all.
//
// `listed` are paths that are never patterns, and come behind the arguments.
absl::StatusOr<Pictures> ExpandPaths(const std::vector<std::string>& arguments,
                                     const std::vector<std::string>& listed,
                                     const SearchRules& rules);

// The paths of a text file, one per line, in UTF-8 with or without a byte order mark; "-" is the
// standard input. Empty lines do not count; a pattern is taken as it stands, as a name.
// INVALID_ARGUMENT where it cannot be read, is in UTF-16 or names nothing.
absl::StatusOr<std::vector<std::string>> ReadPathList(const std::string& path);

}  // namespace pixpool::cli
