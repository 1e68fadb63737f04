// The plain data files of a bundle. Torch-free.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/model/manifest.h"
#include "server/model/postprocess.h"

namespace pixpool {

// Reads `path` of the bundle as exactly `count` little-endian float32 values, all finite.
// FAILED_PRECONDITION otherwise.
absl::StatusOr<std::vector<float>> ReadFloats(const Bundle& bundle, const std::string& path,
                                              size_t count);

// Reads a text file with one label a line, exactly `count` of them. FAILED_PRECONDITION otherwise.
absl::StatusOr<std::vector<std::string>> ReadLabels(const Bundle& bundle, const std::string& path,
                                                    size_t count);

// Reads all projections of the bundle. FAILED_PRECONDITION where a file does not fit or
// the head that it was fitted on is none of the layer's.
absl::StatusOr<std::vector<std::shared_ptr<const Projection>>> ReadProjections(
    const Bundle& bundle);

// Reads a whole file of the bundle.
absl::StatusOr<std::string> ReadBytes(const Bundle& bundle, const std::string& path);

}  // namespace pixpool
