#include "client/cpp/image.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace pixpool::client {

absl::StatusOr<v1::Image> ImageFromFile(const std::string& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is a directory, not a picture"));
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int error = errno;
    return absl::ErrnoToStatus(error == 0 ? ENOENT : error, absl::StrCat("cannot open ", path));
  }
  v1::Image image;
  std::string& bytes = *image.mutable_encoded();
  bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  if (file.bad()) return absl::DataLossError(absl::StrCat("cannot read ", path));
  if (bytes.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  // Paths may hold any bytes; a proto string must be UTF-8.
  std::string id = path;
  for (char& c : id) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  image.set_image_id(std::move(id));
  return image;
}

absl::StatusOr<v1::Image> ImageFromPixels(std::span<const uint8_t> pixels, int height, int width) {
  const int64_t expected = static_cast<int64_t>(height) * width * 3;
  if (height < 1 || width < 1 || static_cast<int64_t>(pixels.size()) != expected) {
    return absl::InvalidArgumentError(
        absl::StrCat("pixels must be height * width * 3 bytes with both sides at least 1; got ",
                     pixels.size(), " bytes for ", height, " x ", width));
  }
  v1::Image image;
  image.mutable_raw()->set_pixels(pixels.data(), pixels.size());
  image.mutable_raw()->set_height_px(height);
  image.mutable_raw()->set_width_px(width);
  return image;
}

}  // namespace pixpool::client
