// A model whose answers are a known function of pixels and head, and which can be held, watched and
// made to fail. It stands for the backbone only: everything around it in the integration tests is
// the real thing.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/error.h"
#include "server/model/model.h"
#include "server/pipeline/model_registry.h"

namespace pixpool {

class FakeModel final : public Model {
 public:
  explicit FakeModel(int instances = 1) : info_(Info()), instances_(instances) {}

  // What RunBatch gives for one head on one image.
  static HeadOutput Expected(const Image& image, const HeadSpec& head) {
    uint64_t state = 1469598103934665603u;
    const auto mix = [&state](uint64_t v) { state = (state ^ v) * 1099511628211u; };
    for (size_t i = 0; i < image.byte_size(); ++i) mix(image.data()[i]);
    for (const char c : head.canonical) mix(static_cast<uint8_t>(c));
    HeadOutput out;
    if (head.output() == HeadOutputKind::kScores) {
      out.shape = {3};
      for (int c = 0; c < 3; ++c) {
        mix(static_cast<uint64_t>(c));
        out.scores.push_back({.class_index = c, .score = static_cast<float>(state % 1000) / 1000});
      }
      return out;
    }
    out.shape = {4};
    if (head.output() == HeadOutputKind::kActivationMap) {
      out.shape = {2, 2};
      out.scores.push_back({.class_index = 1, .score = 0.5f});
    }
    for (uint64_t i = 0; i < 4; ++i) {
      mix(i);
      out.values.push_back(static_cast<float>(state % 100'000) / 100'000);
    }
    return out;
  }

  // What it gives for one head on a region of one image, in pixels of its input.
  static HeadOutput ExpectedOfRegion(const Image& image, const HeadSpec& head,
                                     const RegionF& region) {
    HeadOutput out = Expected(image, head);
    out.shape = {4};
    out.values = {static_cast<float>(region.left), static_cast<float>(region.top),
                  static_cast<float>(region.right), static_cast<float>(region.bottom)};
    return out;
  }

  const ModelInfo& info() const override { return info_; }
  int instance_count() const override { return instances_; }
  int useful_batch_size() const override { return 1024; }
  void EnterInstanceThread(int) override {}

  void RunBatch(const BatchPlace& place, absl::Span<const ModelTask> tasks,
                absl::Span<ModelResult> results, ModelRunTimes* times) override {
    bool fail = false;
    {
      absl::MutexLock lock(&mu_);
      batch_sizes_.push_back(static_cast<int>(tasks.size()));
      pictures_in_flight_.push_back(place.pictures_in_flight);
      for (const ModelTask& task : tasks) {
        inputs_.push_back({task.input->width(), task.input->height()});
      }
      mu_.Await(absl::Condition(
          +[](bool* held) { return !*held; }, &held_));
      fail = failing_;
    }
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (fail) {
        results[i].status = MakeFailure();
        continue;
      }
      const ModelTask& task = tasks[i];
      for (const HeadSpec& head : task.heads) {
        if (task.whole) results[i].outputs.push_back(Expected(*task.input, head));
      }
      for (const RegionF& region : task.regions) {
        std::vector<HeadOutput>& outputs = results[i].regions.emplace_back();
        for (const HeadSpec& head : task.heads) {
          outputs.push_back(ExpectedOfRegion(*task.input, head, region));
        }
      }
    }
    times->backbone = std::chrono::milliseconds(2);
    times->heads = std::chrono::milliseconds(1);
  }

  int64_t PassBytes(Size input, absl::Span<const HeadSpec>) const override {
    return bytes_per_pixel_ * input.width * input.height;
  }
  // What passes are said to take. Call before it serves.
  void SetBytesPerPixel(int64_t bytes) { bytes_per_pixel_ = bytes; }

  // While held, RunBatch waits before it answers.
  void Hold() { Set(&held_, true); }
  void Release() { Set(&held_, false); }
  void SetFailing(bool failing) { Set(&failing_, failing); }

  // Blocks until this many batches have been started.
  void AwaitBatches(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return batch_sizes_.size() >= count;
    };
    mu_.Await(absl::Condition(&enough));
  }

  // Sizes of the batches started so far.
  std::vector<int> batch_sizes() const {
    absl::MutexLock lock(&mu_);
    return batch_sizes_;
  }

  // Sizes of the inputs, in the order in which they were begun.
  std::vector<Size> inputs() const {
    absl::MutexLock lock(&mu_);
    return inputs_;
  }

  // What each was told to share the cores with.
  std::vector<int> pictures_in_flight() const {
    absl::MutexLock lock(&mu_);
    return pictures_in_flight_;
  }

 private:
  static ModelInfo Info() {
    return {
        .name = "fake",
        .version = "1",
        .license = "none",
        .weights_sha256 = std::string(64, 'a'),
        .engine = "fake",
        .device = "cpu",
        .precision = "float32",
        .input = {.resize = ResizeMode::kNone, .crop = CropMode::kNone, .height = 32, .width = 32},
        .layers = {{.name = "early", .channels = 4, .stride = 4, .non_negative = false},
                   {.name = "last",
                    .channels = 8,
                    .stride = 16,
                    .non_negative = true,
                    .prefix_tokens = 5,
                    .class_token = true}},
        .vectors = {{"embedding", 6}, {"vlad", 4}},
        .default_layer = "last",
        .classifier_layer = "last",
        .labels = {"ant", "bee", "cat"},
        .class_count = 3};
  }

  static absl::Status MakeFailure() {
    return MakeError(ErrorReason::kInferenceFailed, "the backbone failed");
  }

  void Set(bool* flag, bool value) {
    absl::MutexLock lock(&mu_);
    *flag = value;
  }

  const ModelInfo info_;
  const int instances_;
  mutable absl::Mutex mu_;
  std::vector<int> batch_sizes_ ABSL_GUARDED_BY(mu_);
  std::vector<int> pictures_in_flight_ ABSL_GUARDED_BY(mu_);
  std::vector<Size> inputs_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_per_pixel_ = 0;
  bool held_ = false;
  bool failing_ = false;
};

// A FakeModel inside a registry, with a handle on it. `metrics`: see ModelRegistry.
struct FakeRegistry {
  explicit FakeRegistry(Metrics* metrics = nullptr, int instances = 1) : registry("", metrics) {
    auto owned = std::make_unique<FakeModel>(instances);
    model = owned.get();
    registry.AddLoading("fake", "1");
    registry.SetReady("fake", "1", std::move(owned));
  }
  ModelRegistry registry;
  FakeModel* model = nullptr;
};

}  // namespace pixpool
