#include "client/cli/paths.h"

#include <glob.h>

#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/picture_files.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;

absl::Status AddExisting(const std::string& path, const SearchRules& rules, Pictures& found) {
  std::error_code ec;
  if (!fs::is_directory(path, ec)) {
    found.paths.push_back(path);
    return absl::OkStatus();
  }
  const size_t before = found.paths.size();
  absl::Status status = AddPictures(path, rules, found.paths, found.left_out);
  if (status.ok() && found.paths.size() == before) found.left_out.empty.push_back(path);
  return status;
}

absl::Status AddPattern(const std::string& pattern, const SearchRules& rules, Pictures& found) {
  glob_t matches{};
  const int rc = glob(pattern.c_str(), 0, nullptr, &matches);
  absl::Status status;
  if (rc == GLOB_NOMATCH) {
    status = absl::NotFoundError(absl::StrCat("nothing matches ", pattern));
  } else if (rc != 0) {
    status = absl::ResourceExhaustedError(absl::StrCat("cannot expand ", pattern));
  }
  for (size_t i = 0; status.ok() && i < matches.gl_pathc; ++i) {
    status = AddExisting(matches.gl_pathv[i], rules, found);
  }
  globfree(&matches);
  return status;
}

// Whether there is something of this name, be it a link that leads nowhere: such a picture fails by
// itself.
bool Exists(const std::string& path) {
  std::error_code ec;
  return fs::exists(fs::symlink_status(path, ec));
}

}  // namespace

absl::StatusOr<Pictures> ExpandPaths(const std::vector<std::string>& arguments,
                                     const SearchRules& rules) {
  Pictures found;
  for (const std::string& argument : arguments) {
    absl::Status status;
    if (Exists(argument)) {
      status = AddExisting(argument, rules, found);
    } else if (argument.find_first_of("*?[") != std::string::npos) {
      status = AddPattern(argument, rules, found);
    } else {
      status = absl::NotFoundError(absl::StrCat("no such file or folder: ", argument));
    }
    if (!status.ok()) return status;
  }
  if (found.paths.empty()) {
    std::vector<std::string> lines = {
        absl::StrCat("no pictures (", absl::StrJoin(PictureSuffixes(), " "), ") in or below ",
                     absl::StrJoin(found.left_out.empty, ", "))};
    found.left_out.empty.clear();
    const std::vector<std::string> others = found.left_out.Lines();
    lines.insert(lines.end(), others.begin(), others.end());
    return absl::NotFoundError(absl::StrJoin(lines, ". "));
  }
  return found;
}

}  // namespace pixpool::cli
