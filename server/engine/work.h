// What travels between the stages of the engine. Internal to server/engine.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/engine/engine.h"

namespace pixpool {

// One admitted request. Shared by its images' tasks; each image writes its own slot of
// result.images only, and whoever brings `remaining` to zero owns the whole.
struct RequestWork {
  ExtractRequest request;
  Engine::Done done;
  InputPlan plan;
  std::vector<ImageHeader> headers;  // of the encoded images, by index
  ExtractResult result;
  TimePoint admitted;
  std::atomic<int> remaining{0};
  // Last, so that it is released first.
  Permit permit;

  const CallContext& context() const { return *request.context; }
};

// One image between preprocessing and the end of its batch.
struct ImageWork {
  std::shared_ptr<RequestWork> work;
  int index = 0;
  Image input;
  TimePoint ready;  // when preprocessing ended

  ImageFeatures& slot() const { return work->result.images[static_cast<size_t>(index)]; }
};

// The duration of a stage in an image's slot.
inline TimeDuration& StageSlot(ImageFeatures& features, Stage stage) {
  return features.times[static_cast<size_t>(stage)];
}

// Batches hold images of one input size.
inline size_t BatchGroup(Size input) {
  return (static_cast<size_t>(input.height) << 32) | static_cast<size_t>(input.width);
}

// Marks an image as dropped because its call is over. `stage` is where it was found.
void DropImage(const ImageWork& image, const absl::Status& status, Stage stage, Metrics* metrics);

}  // namespace pixpool
