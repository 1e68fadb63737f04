// Files that appear under their names only once they are whole.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace pixpool::cli {

// What a file is called while it is written: its name with this behind it.
inline constexpr char kPartSuffix[] = ".part";

// DATA_LOSS.
absl::Status CannotWrite(absl::string_view path);

// Gives the part of `path` its name; what had the name before is gone.
absl::Status Publish(const std::string& path);

// Writes a whole file.
absl::Status WriteFile(const std::string& path, absl::string_view bytes);

}  // namespace pixpool::cli
