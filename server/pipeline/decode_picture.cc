#include "server/pipeline/decode_picture.h"

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
  const RequestWork& work = *image.work;
  ImageState& state = image.state();
  const ImageInput& source = *state.source;
  if (source.is_raw) return CopyRaw(source);

  const Size full = state.features.picture;
  const ImageHeader& header = state.header;
  const DecodeOptions whole = {.apply_exif = work.plan.apply_exif,
                               .background = work.plan.background,
                               .refuse_damaged = work.refuse_damaged};
  DecodeOptions options = whole;
  const Size floor = DecodeFloor(work.plan, full);
  options.min_width = floor.width;
  options.min_height = floor.height;
  const Size decoded = DecodedSize(header, options);
  if (work.keeps_pictures && decoded == full) return DecodeImage(source.encoded, header, whole);
  options.part = NeededRegion(work.plan, decoded, full);
  PIXPOOL_ASSIGN_OR_RETURN(Image picture, DecodeImage(source.encoded, header, options));
  if (work.keeps_pictures) {
    PIXPOOL_ASSIGN_OR_RETURN(state.picture, DecodeImage(source.encoded, header, whole));
  }
  return picture;
}

}  // namespace pixpool
