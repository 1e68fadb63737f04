// Which pictures a command line means.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace pixpool::cli {

// Replaces directories by the pictures in and below them (by their extensions, in any case; hidden
// files and folders and links to folders left out) and shell patterns (* ? [...]) by what they
// match; each expansion is sorted. A path that exists is never taken for a pattern. A file named
// outright is taken whatever its extension.
//
// NOT_FOUND for a path that does not exist, a pattern that matches nothing or a folder without
// pictures.
absl::StatusOr<std::vector<std::string>> ExpandPaths(const std::vector<std::string>& arguments);

}  // namespace pixpool::cli
