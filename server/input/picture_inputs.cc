#include "server/input/picture_inputs.h"

#include <cstring>
#include <utility>

#include "server/base/status_macros.h"

namespace pixpool {
namespace {

constexpr int kMirrored = 2;  // EXIF's orientation of that name

Image CopyRaw(const PictureTask& task) {
  Image out(task.header.width, task.header.height);
  std::memcpy(out.data(), task.bytes.data(), task.bytes.size());
  return out;
}

DecodeOptions WholePicture(const PictureTask& task) {
  return {.apply_exif = task.plan.apply_exif,
          .background = task.plan.background,
          .refuse_damaged = task.refuse_damaged};
}

// The picture that the inputs are made of. Where another was decoded to be kept, `kept` gets it.
absl::StatusOr<Image> Decode(const PictureTask& task, Size full, Image* kept) {
  if (task.is_raw) return CopyRaw(task);
  const DecodeOptions whole = WholePicture(task);
  DecodeOptions options = whole;
  const Size floor = DecodeFloor(task.plan, full);
  options.min_width = floor.width;
  options.min_height = floor.height;
  const Size decoded = DecodedSize(task.header, options);
  if (task.keep_picture && decoded == full) return DecodeImage(task.bytes, task.header, whole);
  options.part = NeededRegion(task.plan, decoded, full);
  PIXPOOL_ASSIGN_OR_RETURN(Image picture, DecodeImage(task.bytes, task.header, options));
  if (task.keep_picture) {
    PIXPOOL_ASSIGN_OR_RETURN(*kept, DecodeImage(task.bytes, task.header, whole));
  }
  return picture;
}

// The inputs of all passes; takes the picture over where it may.
std::vector<Image> Inputs(Image* picture, bool still_needed, const InputPlan& plan, Size full) {
  const std::vector<InputPass> passes = PassesOf(plan);
  std::vector<Image> inputs;
  for (const InputPass& pass : passes) {
    const InputPlan scaled = ScaledPlan(plan, pass.scale);
    if (pass.mirrored) {  // of the pass before it
      inputs.push_back(ApplyOrientation(CopyImage(inputs.back()), kMirrored));
    } else if (passes.size() > 1 || still_needed) {
      inputs.push_back(PreprocessCopy(*picture, scaled, full));
    } else {
      inputs.push_back(Preprocess(std::move(*picture), scaled, full));
    }
  }
  return inputs;
}

}  // namespace

absl::StatusOr<PictureInputs> MakeInputs(const PictureTask& task, const Clock& clock) {
  const Size full = UprightSize(task.header, task.plan.apply_exif);
  const TimePoint start = clock.Now();
  PictureInputs made;
  PIXPOOL_ASSIGN_OR_RETURN(Image picture, Decode(task, full, &made.picture));
  const TimePoint decoded = clock.Now();
  made.damages = picture.damages();
  made.has_hidden_colors = picture.has_hidden_colors();
  // Whatever was kept already is the picture in full.
  const bool keep = task.keep_picture && made.picture.empty();
  made.inputs = Inputs(&picture, keep, task.plan, full);
  if (keep) made.picture = std::move(picture);
  made.decode_time = decoded - start;
  made.preprocess_time = clock.Now() - decoded;
  return made;
}

}  // namespace pixpool
