// What is in a folder: the pictures, and, counted by kind, what is left out beside them.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace pixpool::cli {

struct SearchRules {
  // Whether links to folders are followed, but for those that lead back to a folder above them.
  // Links to files always are.
  bool follow_links = false;
  // Patterns of what is left out, as the shell has them (* ? [...]): of names, or, with a slash in
  // it, of paths from the folder on; with a slash at the end, of folders only.
  std::vector<std::string> exclude;
};

// What a search left out.
struct LeftOut {
  // How many, by kind: "hidden", "FIFOs", or a suffix that is no picture's.
  std::map<std::string, size_t> kinds;
  // Links that lead back to a folder which they are in.
  std::vector<std::string> loops;
  // Folders and links that nothing could be learnt of, with the reason.
  std::vector<std::pair<std::string, std::string>> unreadable;
  // Folders of the command line without a picture.
  std::vector<std::string> empty;

  // For people: what there is to say.
  std::vector<std::string> Lines() const;
};

// Adds the pictures in and below a folder, of each folder by name. Pictures are files with a
// picture's suffix, or without a suffix and with a picture's content; hidden files, junk and what
// the rules exclude are left out. pixpool.bulk takes the same files in the same order
// (client/python/pixpool/bulk/folders.py). An error where the folder itself cannot be read.
absl::Status AddPictures(const std::string& folder, const SearchRules& rules,
                         std::vector<std::string>& files, LeftOut& left_out);

}  // namespace pixpool::cli
