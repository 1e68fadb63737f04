// The plain data files of a bundle: floats, labels, bytes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/bundle/manifest.h"

namespace pixpool {

// Reads `path` of the bundle as exactly `count` little-endian float32 values, all finite.
// FAILED_PRECONDITION otherwise.
absl::StatusOr<std::vector<float>> ReadFloats(const Bundle& bundle, const std::string& path,
                                              size_t count);

// Reads a text file with one label per line, exactly `count` of them. FAILED_PRECONDITION
// otherwise.
absl::StatusOr<std::vector<std::string>> ReadLabels(const Bundle& bundle, const std::string& path,
                                                    size_t count);

// Reads a whole file of the bundle.
absl::StatusOr<std::string> ReadBytes(const Bundle& bundle, const std::string& path);

}  // namespace pixpool
