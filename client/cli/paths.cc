#include "client/cli/paths.h"

#include <glob.h>

#include <filesystem>
#include <iostream>
#include <iterator>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/picture_files.h"
#include "client/cpp/read_file.h"

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
                                     const std::vector<std::string>& listed,
                                     const SearchRules& rules) {
  Pictures found;
  const auto add = [&](const std::string& path, bool may_be_pattern) {
    if (Exists(path)) return AddExisting(path, rules, found);
    if (may_be_pattern && path.find_first_of("*?[") != std::string::npos) {
      return AddPattern(path, rules, found);
    }
    return absl::Status(absl::NotFoundError(absl::StrCat("no such file or folder: ", path)));
  };
  for (const std::string& argument : arguments) {
    if (absl::Status status = add(argument, true); !status.ok()) return status;
  }
  for (const std::string& path : listed) {
    if (absl::Status status = add(path, false); !status.ok()) return status;
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

absl::StatusOr<std::vector<std::string>> ReadPathList(const std::string& path) {
  const std::string name = path == "-" ? "standard input" : path;
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    absl::StatusOr<std::string> read = client::ReadFile(path);
    if (!read.ok()) return read.status();
    text = *std::move(read);
  }
  if (absl::StartsWith(text, "\xff\xfe") || absl::StartsWith(text, "\xfe\xff")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--files-from: ", name, " is in UTF-16; save it as UTF-8"));
  }
  std::vector<std::string> paths;
  for (absl::string_view line : absl::StrSplit(absl::StripPrefix(text, "\xef\xbb\xbf"), '\n')) {
    line = absl::StripSuffix(line, "\r");
    if (!line.empty()) paths.emplace_back(line);
  }
  if (paths.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--files-from: ", name, " names no picture"));
  }
  return paths;
}

}  // namespace pixpool::cli
