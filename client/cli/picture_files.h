// Which files are pictures, by their names and first bytes, and which folders hold copies that
// programs made.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace pixpool::cli {

// The ends of the names of pictures, in lower case, each with its dot.
std::span<const absl::string_view> PictureSuffixes();

// The end of a file's name from its last dot on, in lower case; "" where there is none: the content
// decides what such a file is.
std::string SuffixOf(absl::string_view name);

// Whether SuffixOf gave the end of a picture's name.
bool IsPictureSuffix(absl::string_view suffix);

// So many first bytes of a file are enough for HasPictureSignature.
inline constexpr size_t kSignatureBytes = 16;
bool HasPictureSignature(absl::string_view first_bytes);

// Whether a folder of this name holds what programs keep beside pictures: previews, wastebaskets.
bool IsJunkFolder(absl::string_view name);

}  // namespace pixpool::cli
