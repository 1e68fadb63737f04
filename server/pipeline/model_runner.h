// The instance threads of one model and the batcher that feeds them. Internal to server/pipeline.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/ticker.h"
#include "server/batching/batcher.h"
#include "server/pipeline/memory_budget.h"
#include "server/pipeline/options.h"
#include "server/pipeline/pass_watch.h"
#include "server/pipeline/work.h"

namespace pixpool {

// Forms batches of preprocessed images and runs them on the model's instances.
//
// A pass that needs more memory than there is waits for it in the budget's line, before the batcher
// and without a thread.
//
// Thread-safe. Owns one thread per instance; they never touch replies: each finished image goes to
// `complete`, which must not block nor throw. One more thread has the model give up, now and then,
// what it keeps and does not use. The destructor runs what was submitted, then joins.
class ModelRunner {
 public:
  using Complete = std::function<void(ImageWork)>;

  // Takes no part in what says that a call still has the model. `preparing` counts the pictures
  // that are not submitted yet but will be.
  ModelRunner(const LoadedModel& model, const PipelineOptions& options,
              const std::atomic<int>* preparing, MemoryBudget* memory, Metrics* metrics,
              const Clock* clock, Complete complete);
  ~ModelRunner();

  ModelRunner(const ModelRunner&) = delete;
  ModelRunner& operator=(const ModelRunner&) = delete;

  // Queues one image; its slot is filled in and `complete` called when its batch is done. Never
  // throws.
  void Submit(ImageWork image);

  const LoadedModel& model() const { return model_; }
  // Images that wait for memory or for a batch.
  int waiting() const;
  int thread_count() const { return static_cast<int>(threads_.size()); }
  // Of the passes under way.
  const PassWatch& watch() const { return watch_; }

 private:
  void Stop();
  // Queues an image that has its memory.
  void Enqueue(ImageWork* image);
  // Ends an image that could not be queued.
  void Fail(ImageWork* image, const absl::Status& status);
  void InstanceLoop(int instance);
  void RunBatch(int instance, std::vector<ImageWork> batch);
  bool DropIfOver(ImageWork& image);

  const LoadedModel model_;  // what calls share and not their share of it
  Metrics* const metrics_;
  const Clock* const clock_;
  const Complete complete_;
  const std::atomic<int>* const preparing_;
  PassWatch watch_;
  MemoryBudget* const memory_;
  const int keeper_;              // the model's number there
  std::atomic<int> running_ = 0;  // images in batches
  Batcher<ImageWork> batcher_;

  mutable absl::Mutex mu_;
  int reserving_ ABSL_GUARDED_BY(mu_) = 0;  // images that are on their way to the batcher

  std::vector<std::thread> threads_;  // last: its threads use everything above
  std::optional<Ticker> ager_;
};

}  // namespace pixpool
