#include "server/pipeline/passes.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace pixpool {
namespace {

constexpr int kMirrored = 2;  // EXIF's orientation of that name

HeadOutput SumOutputs(const HeadSpec& head, const std::vector<ImageFeatures>& passes, size_t h) {
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

}  // namespace

std::vector<ImageWork> MakePasses(const ImageWork& image, Image picture) {
  const RequestWork& work = *image.work;
  ImageState& state = image.state();
  std::vector<ImageWork> passes;
  const Size full = state.features.picture;
  if (!image.one_of_several()) {
    passes.push_back(image.Pass(0));
    const InputPlan plan = ScaledPlan(work.plan, work.passes.front().scale);
    // Whatever is kept already is the picture in full.
    if (!work.keeps_pictures || !state.picture.empty()) {
      passes[0].input = Preprocess(std::move(picture), plan, full);
    } else {
      passes[0].input = PreprocessCopy(picture, plan, full);
      state.picture = std::move(picture);
    }
    return passes;
  }
  for (size_t p = 0; p < work.passes.size(); ++p) {
    const InputPass& pass = work.passes[p];
    passes.push_back(image.Pass(static_cast<int>(p)));
    ImageWork& made = passes.back();
    // A mirrored pass follows the one that it mirrors.
    made.input = pass.mirrored ? ApplyOrientation(CopyImage(passes[p - 1].input), kMirrored)
                               : PreprocessCopy(picture, ScaledPlan(work.plan, pass.scale), full);
    made.slot().input = {made.input.width(), made.input.height()};
  }
  return passes;
}

void CombinePasses(const ImageWork& image) {
  const std::vector<ImageFeatures>& passes = image.state().passes->features;
  ImageFeatures& result = image.state().features;
  for (const ImageFeatures& pass : passes) {
    if (result.status.ok()) result.status = pass.status;
    for (size_t s = 0; s < result.times.size(); ++s) {
      result.times[s] = std::max(result.times[s], pass.times[s]);
    }
  }
  if (!result.status.ok()) return;
  const std::vector<HeadSpec>& heads = *image.work->result.heads;
  for (size_t h = 0; h < heads.size(); ++h) {
    result.outputs.push_back(SumOutputs(heads[h], passes, h));
  }
}

}  // namespace pixpool
