#include "server/pipeline/passes.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/types/span.h"

namespace pixpool {
namespace {

HeadOutput SumOutputs(const HeadSpec& head, absl::Span<const ImageFeatures> passes, size_t h) {
  std::vector<const std::vector<float>*> vectors;
  std::set<std::string> warnings;  // each once, however many passes gave it
  for (const ImageFeatures& pass : passes) {
    vectors.push_back(&pass.outputs[h].values);
    warnings.insert(pass.outputs[h].warnings.begin(), pass.outputs[h].warnings.end());
  }
  HeadOutput sum;
  sum.shape = passes.front().outputs[h].shape;
  sum.values = SumPasses(vectors);
  sum.warnings.assign(warnings.begin(), warnings.end());
  FinishHead(head, sum);
  return sum;
}

// What the passes over one picture gave, put together.
std::vector<HeadOutput> Combined(const std::vector<HeadSpec>& heads,
                                 absl::Span<ImageFeatures> passes) {
  if (passes.size() == 1) return std::move(passes.front().outputs);
  std::vector<HeadOutput> outputs;
  for (size_t h = 0; h < heads.size(); ++h) outputs.push_back(SumOutputs(heads[h], passes, h));
  return outputs;
}

}  // namespace

std::vector<Region> PartsOf(const ImageState& image) {
  std::vector<Region> parts;
  for (const CropState& crop : image.crops) parts.push_back(crop.part);
  return parts;
}

int64_t CropPixels(const RequestWork& work, const ImageState& image) {
  int64_t pixels = 0;
  for (const CropState& crop : image.crops) {
    pixels += int64_t{crop.part.width} * crop.part.height;
  }
  return pixels * static_cast<int64_t>(work.plan.scales.size());
}

absl::StatusOr<PictureInputs> MakeInputs(const ImageWork& image, DecodeWorkers* workers,
                                         const Clock& clock) {
  const RequestWork& work = *image.work;
  const ImageInput& source = *image.state().source;
  const PictureTask task = {.bytes = source.is_raw ? source.raw : source.encoded,
                            .header = image.state().header,
                            .is_raw = source.is_raw,
                            .plan = work.plan,
                            .refuse_damaged = work.refuse_damaged,
                            .keep_picture = work.keeps_pictures,
                            .regions = PartsOf(image.state()),
                            .whole = work.PassesWhole(image.state())};
  // Pixels need no decoder.
  if (workers == nullptr || source.is_raw) return MakeInputs(task, clock);
  return workers->MakeInputs(task, clock);
}

std::vector<ImageWork> MakePasses(const ImageWork& image, std::vector<Image> inputs) {
  std::vector<ImageWork> passes;
  for (size_t p = 0; p < inputs.size(); ++p) {
    ImageWork& made = passes.emplace_back(image.Pass(static_cast<int>(p)));
    made.input = std::move(inputs[p]);
    if (image.one_of_several()) made.slot().input = made.input_size();
  }
  return passes;
}

void CombinePasses(const ImageWork& image) {
  std::vector<ImageFeatures>& passes = image.state().passes->features;
  ImageFeatures& result = image.state().features;
  for (const ImageFeatures& pass : passes) {
    if (result.status.ok()) result.status = pass.status;
    for (size_t s = 0; s < result.times.size(); ++s) {
      result.times[s] = std::max(result.times[s], pass.times[s]);
    }
  }
  if (!result.status.ok()) return;
  const std::vector<HeadSpec>& heads = *image.work->result.heads;
  const size_t each = image.work->passes.size();  // of one picture
  auto left = absl::MakeSpan(passes);
  if (image.work->PassesWhole(image.state())) {
    result.outputs = Combined(heads, left.first(each));
    left.remove_prefix(each);
  }
  for (size_t r = 0; r < image.state().crops.size(); ++r) {
    result.regions[r].outputs = Combined(heads, left.subspan(r * each, each));
  }
}

ImageWork WithTurn(ImageWork image, WorkQueue::Turn turn) {
  image.urgent = turn.urgent;
  image.place = std::move(turn.place);
  image.hold = std::move(turn.hold);
  return image;
}

}  // namespace pixpool
