#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace pixpool {

// A file that an option names, as it is, of 1 MiB at most. INVALID_ARGUMENT with the cause alone,
// such as "cannot be opened: No such file or directory".
absl::StatusOr<std::string> ReadNamedFile(const std::string& path);

}  // namespace pixpool
