#include "client/cli/paths.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;

// Those of the formats that the server decodes. scripts/make_picture_suffixes.py makes the Python
// tools' from them.
constexpr absl::string_view kExtensions[] = {".jpg", ".jpeg", ".jpe", ".png", ".webp",
                                             ".gif", ".bmp",  ".tif", ".tiff"};

bool IsPicture(const fs::path& path) {
  const std::string extension = absl::AsciiStrToLower(path.extension().string());
  return std::find(std::begin(kExtensions), std::end(kExtensions), extension) !=
         std::end(kExtensions);
}

bool IsHidden(const fs::path& path) { return path.filename().string().rfind('.', 0) == 0; }

absl::Status AddDirectory(const std::string& directory, std::vector<std::string>& files) {
  std::vector<std::string> found;
  std::error_code ec;
  fs::recursive_directory_iterator it(directory, fs::directory_options::skip_permission_denied, ec);
  for (; !ec && it != fs::recursive_directory_iterator(); it.increment(ec)) {
    std::error_code kind;
    if (IsHidden(it->path())) {
      if (it->is_directory(kind)) it.disable_recursion_pending();
    } else if (IsPicture(it->path()) && it->is_regular_file(kind)) {
      found.push_back(it->path().string());
    }
  }
  if (ec) {
    return absl::ErrnoToStatus(ec.value(), absl::StrCat("cannot read folder ", directory));
  }
  if (found.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no pictures (", absl::StrJoin(kExtensions, " "), ") in folder ", directory));
  }
  std::sort(found.begin(), found.end());
  files.insert(files.end(), found.begin(), found.end());
  return absl::OkStatus();
}

absl::Status AddExisting(const std::string& path, std::vector<std::string>& files) {
  std::error_code ec;
  if (fs::is_directory(path, ec)) return AddDirectory(path, files);
  files.push_back(path);
  return absl::OkStatus();
}

absl::Status AddPattern(const std::string& pattern, std::vector<std::string>& files) {
  glob_t matches{};
  const int rc = glob(pattern.c_str(), 0, nullptr, &matches);
  absl::Status status;
  if (rc == GLOB_NOMATCH) {
    status = absl::NotFoundError(absl::StrCat("nothing matches ", pattern));
  } else if (rc != 0) {
    status = absl::ResourceExhaustedError(absl::StrCat("cannot expand ", pattern));
  }
  for (size_t i = 0; status.ok() && i < matches.gl_pathc; ++i) {
    status = AddExisting(matches.gl_pathv[i], files);
  }
  globfree(&matches);
  return status;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ExpandPaths(const std::vector<std::string>& arguments) {
  std::vector<std::string> files;
  for (const std::string& argument : arguments) {
    std::error_code ec;
    absl::Status status;
    if (fs::exists(argument, ec)) {
      status = AddExisting(argument, files);
    } else if (argument.find_first_of("*?[") != std::string::npos) {
      status = AddPattern(argument, files);
    } else {
      status = absl::NotFoundError(absl::StrCat("no such file or folder: ", argument));
    }
    if (!status.ok()) return status;
  }
  return files;
}

}  // namespace pixpool::cli
