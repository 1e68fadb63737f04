// NumPy files: one .npy a head, and an index that names the rows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/writer.h"

namespace pixpool::cli {

// The header of a .npy file (version 1.0) of values of NumPy's type `type`, such as "<f4", in C
// order; always 128 bytes, so that the number of rows can be put in at the end. INVALID_ARGUMENT if
// the shape does not fit, which takes more than a dozen axes.
absl::StatusOr<std::string> NpyHeader(const std::vector<int64_t>& shape, absl::string_view type);

// Writes arrays [N, ...shape of the head] in the type of the head's encoding: float32, also for
// INT8, whose values are multiplied by their scales; float16 for FLOAT16; for BINARY the packed
// bytes, uint8 [N, bits / 8 rounded up], which numpy.unpackbits reads. One head to `path`, several
// to `path` with ".<head_id>" before the extension; and an index beside them, ".index.json" in
// place of ".npy", with the picture of each row (and its box, of boxes, which have a row each), the
// space ids and encodings, the bits of a row of BINARY values, and the pictures that failed and so
// have no row. Rows are written as they come; all files appear under their names in Finish, so what
// is there is complete. Where the disk is full they get the rows that are on it, and the DATA_LOSS
// says how many. class_scores need top_k=0: only then is a column a class; a class_activation_map
// must be in floats.
//
// Add fails with FAILED_PRECONDITION when a head's size differs from picture to picture.
std::unique_ptr<Writer> NewNpyWriter(std::string path);

}  // namespace pixpool::cli
