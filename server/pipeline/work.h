// What travels between the stages of the pipeline. Internal to server/pipeline.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/image/decode.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/memory_budget.h"
#include "server/pipeline/request.h"

namespace pixpool {

// The passes of one image, where there are several; each writes its own features.
struct PassGroup {
  explicit PassGroup(size_t count) : features(count), remaining(static_cast<int>(count)) {}
  std::vector<ImageFeatures> features;
  std::atomic<int> remaining;
};

// One image of a request, from its header to its features. Written by one thread at a time: the
// caller's until it is queued, then that of the stage it is in.
struct ImageState {
  const ImageInput* source = nullptr;  // in RequestWork::request
  ImageHeader header;                  // width 0: not read
  std::unique_ptr<PassGroup> passes;   // null where there is one pass
  Image picture;                       // kept where a head draws on it
  ImageFeatures features;
};

// One admitted request. Shared by its images' tasks; whoever brings `remaining` to zero owns the
// whole.
struct RequestWork {
  ExtractRequest request;
  ExtractDone done;
  InputPlan plan;
  std::vector<InputPass> passes;   // over each image; at least one
  bool draws = false;              // whether a head has something to draw
  bool keeps_pictures = false;     // whether it draws on the picture
  std::vector<ImageState> images;  // in the order of the request; keeps its size
  ExtractResult result;            // its images are filled in at the end
  TimePoint admitted;
  std::atomic<int> remaining{0};  // images, and one more while they are being queued
  const CallContext& context() const { return *request.context; }
};

// One pass over an image on its way.
struct ImageWork {
  std::shared_ptr<RequestWork> work;
  int index = 0;
  int pass = 0;
  Image input;
  TimePoint ready;     // when preprocessing ended
  MemoryLease memory;  // of the pass, from the batcher to its end

  // Another pass over the same image.
  ImageWork Pass(int number) const { return {.work = work, .index = index, .pass = number}; }
  ImageState& state() const { return work->images[static_cast<size_t>(index)]; }
  // Whether it is one of several passes.
  bool one_of_several() const { return state().passes != nullptr; }
  // Where this pass writes.
  ImageFeatures& slot() const {
    ImageState& image = state();
    return image.passes == nullptr ? image.features
                                   : image.passes->features[static_cast<size_t>(pass)];
  }
};

// The duration of a stage in an image's slot.
inline TimeDuration& StageSlot(ImageFeatures& features, Stage stage) {
  return features.times[static_cast<size_t>(stage)];
}

// Batches hold images of one input size.
inline size_t BatchGroup(Size input) {
  return (static_cast<size_t>(input.height) << 32) | static_cast<size_t>(input.width);
}

// The reason that counts in the metrics for a call that is over.
ErrorReason CancelReason(const absl::Status& status);

// A permit, or the refusal, counted.
absl::StatusOr<Permit> AcquirePermit(Admission* admission, Metrics* metrics,
                                     const AdmissionCost& cost);

// Marks an image as dropped because its call is over. `stage` is where it was found.
void DropImage(const ImageWork& image, const absl::Status& status, Stage stage, Metrics* metrics);

}  // namespace pixpool
