// Files, read so that nothing can hang. Internal: not part of the installed API.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace pixpool::client {

// The first `most` bytes of a file, or all of it. INVALID_ARGUMENT for what is none: a folder, a
// FIFO, which could keep its reader waiting for ever, a socket or a device. Blocks on the file
// system.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t most = std::string::npos);

// "FIFO", "socket" or "device" by a stat's st_mode; null for a file or a folder.
const char* SpecialKind(unsigned mode);

}  // namespace pixpool::client
