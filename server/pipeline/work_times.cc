#include "server/pipeline/work_times.h"

#include <algorithm>
#include <cstdint>

#include "server/pipeline/limits.h"
#include "server/pipeline/passes.h"

namespace pixpool {
namespace {

int64_t Area(Size size) { return int64_t{size.width} * size.height; }

// Limits bound what this can be.
int64_t Whole(double values) { return static_cast<int64_t>(std::min(values, 9e18)); }

int64_t Operations(const RequestWork& work, const ImageState& image, Size input) {
  return Whole(OperationsOfPass(work, image, work.result.model->info().layers, input));
}

// A kind of ServiceTimes for each format.
const void* Decoding(const ImageState& image) {
  return (image.source->is_raw ? kRawFormat : FormatName(image.header.format)).data();
}

// Pixels that are decoded, and resized again as regions.
int64_t DecodedArea(const RequestWork& work, const ImageState& image) {
  return std::max(Area(image.features.picture), Area(image.header.decoded)) +
         CropPixels(work, image);
}

// What a pass took of a stage, as one of its batch.
double ShareOf(const ImageWork& pass, Stage stage) {
  return ToSeconds(StageSlot(pass.slot(), stage)) / pass.batch_size;
}

}  // namespace

double OperationsOfPass(const RequestWork& work, const ImageState& image,
                        absl::Span<const LayerInfo> layers, Size input) {
  double operations = image.region_operations;
  if (work.TakesInput(image)) {
    operations += OperationsOnInput(*work.result.heads, layers, input);
  }
  return operations;
}

void WorkTimes::Predict(const RequestWork& work, ImageState* image) const {
  image->decode_seconds = times_.Predict(Decoding(*image), DecodedArea(work, *image));
  image->pass_seconds = PredictPass(work, *image, image->features.input);
  const auto each = static_cast<double>(work.passes.size());
  image->predicted_seconds = image->decode_seconds;
  if (work.PassesWhole(*image)) image->predicted_seconds += each * image->pass_seconds;
  for (const CropState& crop : image->crops) {
    const double seconds = PredictPass(work, *image, crop.input);
    image->predicted_seconds += each * seconds;
    image->pass_seconds = std::max(image->pass_seconds, seconds);
  }
}

double WorkTimes::PredictPass(const RequestWork& work, const ImageState& image, Size input) const {
  return times_.Predict(work.result.model->model.get(), Area(input)) +
         times_.Predict(&kHeads, Operations(work, image, input));
}

bool WorkTimes::IsDear(const RequestWork& work, double pass_seconds) const {
  constexpr double kDear = 4;
  const Model& model = *work.result.model->model;
  const InputRecipe& recipe = model.info().input;
  return pass_seconds >= kDear * times_.Predict(&model, Area({recipe.width, recipe.height}));
}

void WorkTimes::Decoded(const RequestWork& work, const ImageState& image, TimeDuration took) {
  times_.Observe(Decoding(image), DecodedArea(work, image), ToSeconds(took));
}

void WorkTimes::PassEnded(const ImageWork& pass) {
  times_.Observe(pass.work->result.model->model.get(), Area(pass.input_size()),
                 ShareOf(pass, Stage::kBackbone));
  times_.Observe(&kHeads, Operations(*pass.work, pass.state(), pass.input_size()),
                 ShareOf(pass, Stage::kHeads));
}

void WorkTimes::Forget(const Model& model) { times_.Forget(&model); }

double WorkTimes::PredictPooling(double values) const {
  return times_.Predict(&kPooling, Whole(values));
}

void WorkTimes::Pooled(double values, double seconds) {
  times_.Observe(&kPooling, Whole(values), seconds);
}

}  // namespace pixpool
