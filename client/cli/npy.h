// NumPy files: one .npy a head, and an index that names the rows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/writer.h"

namespace pixpool::cli {

// The header of a .npy file (version 1.0) of little-endian float32 in C order; always 128 bytes, so
// that the number of rows can be put in at the end. INVALID_ARGUMENT if the shape does not fit,
// which takes more than a dozen axes.
absl::StatusOr<std::string> NpyHeader(const std::vector<int64_t>& shape);

// Writes float32 arrays [N, ...shape of the head]: one head to `path`, several to `path` with
// ".<head_id>" before the extension; and an index beside them, ".index.json" in place of ".npy",
// with the picture of each row, the space ids, and the pictures that failed and so have no row.
// Rows are written as they come; all files appear under their names in Finish, so what is there is
// complete. class_scores need top_k=0: only then is a column a class.
//
// Add fails with FAILED_PRECONDITION when a head's size differs from picture to picture.
std::unique_ptr<Writer> NewNpyWriter(std::string path);

}  // namespace pixpool::cli
