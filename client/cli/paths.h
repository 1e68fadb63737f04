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
absl::StatusOr<Pictures> ExpandPaths(const std::vector<std::string>& arguments,
                                     const SearchRules& rules);

}  // namespace pixpool::cli
