#include "client/cpp/image.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/read_file.h"

namespace pixpool::client {

absl::StatusOr<v1::Image> ImageFromFile(const std::string& path) {
  absl::StatusOr<std::string> bytes = ReadFile(path);
  if (!bytes.ok()) return bytes.status();
  if (bytes->empty()) return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  v1::Image image;
  image.set_encoded(*std::move(bytes));
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
