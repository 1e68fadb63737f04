#include "server/pipeline/work_count.h"

#include <utility>

namespace pixpool {

void WorkCount::Predict(RequestWork* work, AdmissionCost* cost) const {
  cost->images = 0;
  for (ImageState& image : work->images) {
    if (!image.features.status.ok()) continue;
    if (image.answer != nullptr && image.answer->expected) {
      cost->pixels -= image.held_pixels;
      continue;
    }
    cost->images += 1;
    times_->Predict(*work, &image);
    cost->seconds += image.predicted_seconds;
    image.counted = true;
  }
}

void WorkCount::TakeOver(const ImageRef& image) const {
  ImageState& state = image.state();
  if (state.counted) return;
  times_->Predict(*image.work, &state);
  admission_->TakeOver(&image.work->result.permit,
                       {.pixels = state.held_pixels, .seconds = state.predicted_seconds},
                       image.work->context());
  state.counted = true;
}

void WorkCount::GiveBack(const ImageRef& image, bool worked) const {
  ImageState& state = image.state();
  if (!std::exchange(state.counted, false)) return;
  admission_->Done(image.work->context(), state.predicted_seconds, worked, queue_->images());
}

}  // namespace pixpool
