// Files that appear under their names only once they are whole.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace pixpool::cli {

// What a file is called while it is written: its name with this behind it.
inline constexpr char kPartSuffix[] = ".part";

// DATA_LOSS, with the reason, an errno, unless it is 0.
absl::Status CannotWrite(absl::string_view path, int error);

// Whether a stream has taken everything; else CannotWrite with errno. Set errno to 0 before
// writing.
absl::Status CheckStream(const std::ostream& out, absl::string_view name);

// Cuts a text file, if it is one on disk, after its last whole line.
void KeepWholeLines(const std::string& path);

// Writes the part of `path`: the whole file, but for its name.
absl::Status WritePart(const std::string& path, absl::string_view bytes);

// Gives the part of `path` its name; what had the name before is gone.
absl::Status Publish(const std::string& path);

// Writes a whole file.
absl::Status WriteFile(const std::string& path, absl::string_view bytes);

}  // namespace pixpool::cli
