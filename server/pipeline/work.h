// What travels between the stages of the pipeline. Internal to server/pipeline.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "server/image/decode.h"
#include "server/input/picture_inputs.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/answer_key.h"
#include "server/pipeline/memory_budget.h"
#include "server/pipeline/request.h"

namespace pixpool {

// The passes of one image, where there are several; each writes its own features.
struct PassGroup {
  explicit PassGroup(size_t count) : features(count), remaining(static_cast<int>(count)) {}
  std::vector<ImageFeatures> features;
  std::atomic<int> remaining;
};

// A region that is a picture of its own.
struct CropState {
  Region part;  // of the picture, upright and in full
  Size input;   // of the network; of several scales the largest
};

// What an image's answer is known by where there is a response cache, and where it is to come from.
struct AnswerPlace {
  AnswerKey key;
  std::shared_ptr<const ImageFeatures> kept;  // from before
  bool expected = false;                      // kept or awaited when admission was asked
  bool leads = false;                         // whether others may wait for it
  absl::Status undecodable;  // of the picture, without the image's field; the same for the others
};

// One image of a request, from its header to its features. Written by one thread at a time: the
// caller's until it is queued, then that of the stage it is in.
struct ImageState {
  const ImageInput* source = nullptr;   // in RequestWork::request
  ImageHeader header;                   // width 0: not read
  std::unique_ptr<PassGroup> passes;    // null where there is one pass
  Image picture;                        // kept where a head draws on it
  double predicted_seconds = 0;         // of its work, as admission counted it
  double decode_seconds = 0;            // of that, its decoding
  double pass_seconds = 0;              // and its largest pass
  bool has_long_pass = false;           // that has a hold (work_queue.h)
  int64_t held_pixels = 0;              // as admission counts them
  bool counted = false;                 // whether admission counts its work
  std::unique_ptr<AnswerPlace> answer;  // null: there is no response cache
  // Of regions whose maps are pooled: where they lie on the network's input, what pooling and heads
  // read of them, and the bytes of their maps.
  std::vector<RegionF> regions;
  double region_operations = 0;
  int64_t region_bytes = 0;
  std::vector<CropState> crops;
  ImageFeatures features;
};

// One admitted request. Shared by its images' tasks; whoever brings `remaining` to zero owns the
// whole.
struct RequestWork {
  ExtractRequest request;
  ExtractDone done;
  InputPlan plan;
  std::vector<InputPass> passes;   // over each picture; at least one
  RegionPooling region_pooling;    // of the regions' maps
  bool draws = false;              // whether a head has something to draw
  bool keeps_pictures = false;     // whether it draws on the picture
  bool refuse_damaged = false;     // whether a damaged picture is an error
  std::vector<ImageState> images;  // in the order of the request; keeps its size
  ExtractResult result;            // its images are filled in at the end
  TimePoint admitted;
  std::atomic<int> remaining{0};  // images, and one more while they are being queued
  const CallContext& context() const { return *request.context; }
  // Of its model, once that is found.
  ModelMetrics& metrics() const { return *result.model->metrics; }
  // Whether the heads are applied to an image as a whole.
  bool TakesWhole(const ImageState& image) const {
    return (image.regions.empty() && image.crops.empty()) || request.regions.include_image;
  }
  // Whether they are applied to what a pass over an image, or a crop of it, has as its input.
  bool TakesInput(const ImageState& image) const {
    return image.regions.empty() || request.regions.include_image;
  }
  // Whether there are passes over an image as a whole, be it for regions of their maps.
  bool PassesWhole(const ImageState& image) const {
    return image.crops.empty() || request.regions.include_image;
  }
  // Passes over the picture as a whole, and those over each crop.
  size_t PassCount(const ImageState& image) const {
    return passes.size() * (image.crops.size() + (PassesWhole(image) ? 1 : 0));
  }
};

// An image of a request.
struct ImageRef {
  std::shared_ptr<RequestWork> work;
  int index = 0;
  ImageState& state() const { return work->images[static_cast<size_t>(index)]; }
};

// One pass over an image on its way.
struct ImageWork {
  std::shared_ptr<RequestWork> work;
  int index = 0;
  int pass = 0;
  Image input;
  TimePoint ready;  // when preprocessing ended
  // Ahead of other images in the batcher.
  bool urgent = false;
  // Among the images between decoding and backbone; given up when the pass begins.
  std::shared_ptr<void> place;
  std::shared_ptr<void> hold;  // of a long pass (work_queue.h), until its end
  MemoryLease memory;          // of the pass, from the batcher to its end
  int batch_size = 1;          // images that the pass was over

  // Another pass over the same image, without a place.
  ImageWork Pass(int number) const {
    return {.work = work,
            .index = index,
            .pass = number,
            .input = {},
            .ready = {},
            .urgent = urgent,
            .place = {},
            .hold = {},
            .memory = {},
            .batch_size = 1};
  }
  ImageState& state() const { return work->images[static_cast<size_t>(index)]; }
  ImageRef image() const { return {work, index}; }
  Size input_size() const { return {input.width(), input.height()}; }
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

// The status of a refusal by Admission, counted; OK as it is.
absl::Status CountRefusal(absl::Status status, const CallContext& call, Metrics* metrics);

// Whether work was not done because its call was over.
bool WasDropped(const absl::Status& status);

// The status of the whole request, given those of its images: a call that is over, or that failed
// in every image through our own fault, fails as a call.
absl::Status RequestStatus(const ExtractResult& result);

// What is counted as the format of pixels, next to those of files.
inline constexpr std::string_view kRawFormat = "raw";

// Declares what CountPictures and NoteRemarks count. Before serving.
void DeclarePictures(Metrics* metrics);

// Counts the pictures of a request whose headers could be read, by format and size.
void CountPictures(const RequestWork& work, Metrics* metrics);

// Notes what there is to say of a decoded picture for the result: what was wrong with its file,
// which the metrics count, and hidden colours. Thread of the decoding.
void NoteRemarks(const ImageWork& image, const PictureInputs& picture, Metrics* metrics);

// Gives a finished image an error in place of its features.
void FailImageUnlessOk(const ImageWork& image, const absl::Status& status);

// Puts the result of a request together and hands it over. Never throws.
void FinishRequest(RequestWork* work, Metrics* metrics);

// A permit, or the refusal, counted.
absl::StatusOr<Permit> AcquirePermit(Admission* admission, Metrics* metrics,
                                     const AdmissionCost& cost, const CallContext& call);

// Marks an image as dropped because its call is over. `stage` is where it was found.
void DropImage(const ImageWork& image, const absl::Status& status, Stage stage);

}  // namespace pixpool
