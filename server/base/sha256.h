#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace pixpool {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256Of(std::string_view bytes);

// SHA-256 in lower-case hexadecimal, 64 digits.
std::string Sha256Hex(std::string_view bytes);

// The same over a file, read in blocks. NOT_FOUND or a read error otherwise.
absl::StatusOr<std::string> Sha256HexOfFile(const std::string& path);

}  // namespace pixpool
