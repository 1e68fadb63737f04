#include "server/engine/decode_picture.h"

#include <cstring>

#include "server/base/status_macros.h"
#include "server/image/decode.h"

namespace pixpool {
namespace {

Image CopyRaw(const ImageInput& image) {
  Image out(image.raw_width, image.raw_height);
  std::memcpy(out.data(), image.raw.data(), image.raw.size());
  return out;
}

}  // namespace

absl::StatusOr<Image> DecodePicture(const ImageWork& image) {
  RequestWork& work = *image.work;
  const size_t index = static_cast<size_t>(image.index);
  const ImageInput& source = work.request.images[index];
  if (source.is_raw) return CopyRaw(source);

  const Size full = work.result.images[index].picture;
  const Size floor = DecodeFloor(work.plan, full);
  DecodeOptions options{.apply_exif = work.plan.apply_exif, .background = work.plan.background};
  options.min_width = floor.width;
  options.min_height = floor.height;
  PIXPOOL_ASSIGN_OR_RETURN(Image picture,
                           DecodeImage(source.encoded, work.headers[index], options));
  const bool reduced = picture.width() != full.width || picture.height() != full.height;
  if (reduced && work.keeps_pictures) {
    options.min_width = options.min_height = 0;
    PIXPOOL_ASSIGN_OR_RETURN(work.pictures[index],
                             DecodeImage(source.encoded, work.headers[index], options));
  }
  return picture;
}

}  // namespace pixpool
