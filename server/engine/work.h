// What travels between the stages of the engine. Internal to server/engine.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/engine/engine.h"

namespace pixpool {

// The passes of one image, where there are several; each writes its own features.
struct PassGroup {
  explicit PassGroup(size_t count) : features(count), remaining(static_cast<int>(count)) {}
  std::vector<ImageFeatures> features;
  std::atomic<int> remaining;
};

// One admitted request. Shared by its images' tasks; each image writes its own slot of
// result.images only, and whoever brings `remaining` to zero owns the whole.
struct RequestWork {
  ExtractRequest request;
  Engine::Done done;
  InputPlan plan;
  std::vector<InputPass> passes;     // over each image; at least one
  std::vector<ImageHeader> headers;  // of the encoded images, by index
  bool draws = false;                // whether a head has something to draw
  bool keeps_pictures = false;       // whether it draws on the picture
  // By image: its passes, where there are several, and its picture, where it is kept. The vectors
  // keep their size from admission on.
  std::vector<std::unique_ptr<PassGroup>> groups;
  std::vector<Image> pictures;
  ExtractResult result;
  TimePoint admitted;
  std::atomic<int> remaining{0};  // images, and one more while they are being queued
  // Last, so that it is released first.
  Permit permit;

  const CallContext& context() const { return *request.context; }
};

// One pass over an image on its way.
struct ImageWork {
  std::shared_ptr<RequestWork> work;
  int index = 0;
  int pass = 0;
  Image input;
  TimePoint ready;  // when preprocessing ended

  // Another pass over the same image.
  ImageWork Pass(int number) const { return {.work = work, .index = index, .pass = number}; }
  PassGroup* group() const {
    return work->groups.empty() ? nullptr : work->groups[static_cast<size_t>(index)].get();
  }
  // Where this pass writes.
  ImageFeatures& slot() const {
    PassGroup* const passes = group();
    return passes == nullptr ? work->result.images[static_cast<size_t>(index)]
                             : passes->features[static_cast<size_t>(pass)];
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
