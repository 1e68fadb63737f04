#include <png.h>

#include <utility>

#include "server/image/heatmap.h"

namespace pixpool {

std::string EncodePng(const Image& picture) {
  png_image header = {};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(picture.width());
  header.height = static_cast<png_uint_32>(picture.height());
  header.format = PNG_FORMAT_RGB;
  header.flags = PNG_IMAGE_FLAG_FAST;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::string bytes(size, '\0');
  const auto stride = static_cast<png_int_32>(picture.stride());
  if (png_image_write_to_memory(&header, bytes.data(), &size, /*convert_to_8_bit=*/0,
                                picture.data(), stride, /*colormap=*/nullptr) == 0) {
    return "";
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace pixpool
