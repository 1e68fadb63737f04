#include "client/cli/folder.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "client/cli/picture_files.h"
#include "client/cpp/read_file.h"

namespace pixpool::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKindsShown = 12;
constexpr size_t kNamesShown = 20;

// By the name alone, the last component of `path`, or for a pattern with a slash by all of it.
bool Matches(absl::string_view pattern, absl::string_view path, bool is_folder) {
  if (absl::ConsumeSuffix(&pattern, "/") && !is_folder) return false;
  std::vector<std::string> names = absl::StrSplit(path, '/');
  if (!absl::StrContains(pattern, '/')) names.erase(names.begin(), names.end() - 1);
  absl::ConsumePrefix(&pattern, "/");
  const std::vector<std::string> wanted = absl::StrSplit(pattern, '/');
  return std::equal(wanted.begin(), wanted.end(), names.begin(), names.end(),
                    [](const std::string& glob, const std::string& name) {
                      return fnmatch(glob.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
                    });
}

bool IsHidden(absl::string_view name) { return absl::StartsWith(name, "."); }

// One search. Not for reuse.
class Search {
 public:
  Search(const SearchRules& rules, std::vector<std::string>& files, LeftOut& left_out)
      : rules_(rules), files_(files), left_out_(left_out) {}

  absl::Status Run(const std::string& folder) {
    std::string path = folder;
    if (!absl::EndsWith(path, "/")) path += '/';
    struct stat info {};
    int error = stat(folder.c_str(), &info) == 0 ? 0 : errno;
    if (error == 0) {
      above_.emplace_back(info.st_dev, info.st_ino);
      error = Folder(path, "");
    }
    return error == 0 ? absl::OkStatus()
                      : absl::ErrnoToStatus(error, absl::StrCat("cannot read folder ", folder));
  }

 private:
  // The entries of a folder; `path` ends in a slash, and so does `below`, the path from the first
  // folder on, unless it is empty. Returns 0, or errno where the folder cannot be read.
  int Folder(const std::string& path, const std::string& below) {
    std::error_code ec;
    std::vector<fs::directory_entry> entries;
    fs::directory_iterator it(path, ec);
    for (; !ec && it != fs::directory_iterator(); it.increment(ec)) entries.push_back(*it);
    if (ec) return ec.value();
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return a.path().filename().native() < b.path().filename().native();
    });
    for (const fs::directory_entry& entry : entries) {
      const std::string name = entry.path().filename().string();
      Look(entry, name, path + name, below + name);
    }
    return 0;
  }

  void Look(const fs::directory_entry& entry, const std::string& name, const std::string& path,
            const std::string& below) {
    std::error_code ec;
    const fs::file_type own = entry.symlink_status(ec).type();
    const bool is_link = own == fs::file_type::symlink;
    struct stat info {};
    const bool known = own == fs::file_type::regular;  // the folder says so already
    if (!known && stat(path.c_str(), &info) != 0) {
      const int error = errno;
      if (const std::optional<std::string> kind = KindByName(name, below)) {
        ++left_out_.kinds[*kind];
      } else {
        Unreadable(path, error, is_link);
      }
      return;
    }
    std::optional<std::string> kind;
    if (!known && S_ISDIR(info.st_mode)) {
      kind = FolderKind(name, below, is_link);
      if (!kind) return Enter(path, below, {info.st_dev, info.st_ino}, is_link);
    } else {
      kind = FileKind(name, path, below, known ? S_IFREG : info.st_mode);
    }
    if (kind) ++left_out_.kinds[*kind];
  }

  void Enter(const std::string& path, const std::string& below, std::pair<dev_t, ino_t> here,
             bool is_link) {
    if (std::find(above_.begin(), above_.end(), here) != above_.end()) {
      left_out_.loops.push_back(path);
      return;
    }
    above_.push_back(here);
    if (const int error = Folder(path + "/", below + "/"); error != 0) {
      Unreadable(path, error, is_link);
    }
    above_.pop_back();
  }

  // Why a folder is left out; nothing where it is not.
  std::optional<std::string> FolderKind(const std::string& name, const std::string& below,
                                        bool is_link) const {
    if (Excluded(below, true)) return "excluded";
    if (IsJunkFolder(name)) return "junk folders";
    if (IsHidden(name)) return "hidden";
    if (is_link && !rules_.follow_links) return "links to folders";
    return std::nullopt;
  }

  // Takes a picture, and gives nothing; else why what is no folder is left out.
  std::optional<std::string> FileKind(const std::string& name, const std::string& path,
                                      const std::string& below, mode_t mode) {
    if (Excluded(below, false)) return "excluded";
    if (IsHidden(name)) return "hidden";
    if (!S_ISREG(mode)) {
      const char* kind = client::SpecialKind(mode);
      return absl::StrCat(kind == nullptr ? "device" : kind, "s");
    }
    const std::string suffix = SuffixOf(name);
    bool is_picture = IsPictureSuffix(suffix);
    if (suffix.empty()) {
      const absl::StatusOr<std::string> first = client::ReadFile(path, kSignatureBytes);
      if (!first.ok()) {
        Unreadable(path, faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) == 0 ? EIO : errno,
                   false);
        return std::nullopt;
      }
      is_picture = HasPictureSignature(*first);
    }
    if (!is_picture) return suffix.empty() ? "without suffix" : suffix;
    files_.push_back(path);
    return std::nullopt;
  }

  // Of what nothing but the name is known; nothing where it could be a picture or a folder.
  std::optional<std::string> KindByName(const std::string& name, const std::string& below) const {
    if (Excluded(below, false)) return "excluded";
    if (IsHidden(name)) return "hidden";
    const std::string suffix = SuffixOf(name);
    if (suffix.empty() || IsPictureSuffix(suffix)) return std::nullopt;
    return suffix;
  }

  bool Excluded(const std::string& below, bool is_folder) const {
    return std::any_of(
        rules_.exclude.begin(), rules_.exclude.end(),
        [&](const std::string& pattern) { return Matches(pattern, below, is_folder); });
  }

  void Unreadable(const std::string& path, int error, bool is_link) {
    std::string why = std::strerror(error);
    if (error == ELOOP) why = "a link that leads to itself";
    if (error == ENOENT && is_link) why = "a link that leads nowhere";
    left_out_.unreadable.emplace_back(path, std::move(why));
  }

  const SearchRules& rules_;
  std::vector<std::string>& files_;
  LeftOut& left_out_;
  // Device and inode of the folder that is being read and of those that it is in.
  std::vector<std::pair<dev_t, ino_t>> above_;
};

// "left out: .txt 12, hidden 2": the most frequent first.
std::string CountsText(const std::map<std::string, size_t>& kinds) {
  std::vector<std::pair<std::string, size_t>> ranked(kinds.begin(), kinds.end());
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> texts;
  size_t others = 0;
  for (const auto& [kind, count] : ranked) {
    if (texts.size() < kKindsShown) {
      texts.push_back(absl::StrCat(kind, " ", count));
    } else {
      others += count;
    }
  }
  if (others > 0) texts.push_back(absl::StrCat("others ", others));
  return absl::StrCat("left out: ", absl::StrJoin(texts, ", "));
}

}  // namespace

std::vector<std::string> LeftOut::Lines() const {
  std::vector<std::string> lines;
  for (const std::string& folder : empty) lines.push_back("no pictures in or below " + folder);
  for (size_t i = 0; i < std::min(unreadable.size(), kNamesShown); ++i) {
    lines.push_back(absl::StrCat("left out ", unreadable[i].first, ": ", unreadable[i].second));
  }
  for (size_t i = 0; i < std::min(loops.size(), kNamesShown); ++i) {
    lines.push_back(absl::StrCat("left out ", loops[i], ": it leads back to a folder above"));
  }
  const size_t more = std::max(unreadable.size(), kNamesShown) - kNamesShown +
                      std::max(loops.size(), kNamesShown) - kNamesShown;
  if (more > 0) lines.push_back(absl::StrCat("left out ", more, " more of these"));
  if (!kinds.empty()) lines.push_back(CountsText(kinds));
  return lines;
}

absl::Status AddPictures(const std::string& folder, const SearchRules& rules,
                         std::vector<std::string>& files, LeftOut& left_out) {
  return Search(rules, files, left_out).Run(folder);
}

}  // namespace pixpool::cli
