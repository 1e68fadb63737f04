// Ways to make a pixpool::v1::Image.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::client {

// Reads an image file whole, as it is; the server decodes it. The image_id is the path as given,
// with bytes that are not printable ASCII replaced by "?". NOT_FOUND, PERMISSION_DENIED, or
// INVALID_ARGUMENT for a directory, a FIFO, a socket, a device or an empty file. Blocks on the file
// system.
absl::StatusOr<v1::Image> ImageFromFile(const std::string& path);

// An image from rows of interleaved 8-bit RGB, top row first, copied. INVALID_ARGUMENT unless there
// are exactly height * width * 3 bytes.
absl::StatusOr<v1::Image> ImageFromPixels(std::span<const uint8_t> pixels, int height, int width);

}  // namespace pixpool::client
