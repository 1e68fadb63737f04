// The instance threads of one model and the batcher that feeds them. Internal to server/pipeline.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "server/batching/batcher.h"
#include "server/pipeline/options.h"
#include "server/pipeline/pass_watch.h"
#include "server/pipeline/work.h"

namespace pixpool {

// Forms batches of preprocessed images and runs them on the model's instances.
//
// Thread-safe. Owns one thread per instance; they never touch replies: each finished image goes to
// `complete`, which must not block nor throw. The destructor runs what was submitted, then joins.
class ModelRunner {
 public:
  using Complete = std::function<void(ImageWork)>;

  // `preparing` counts the pictures that are not submitted yet but will be.
  ModelRunner(std::shared_ptr<const LoadedModel> model, const PipelineOptions& options,
              const std::atomic<int>* preparing, Metrics* metrics, const Clock* clock,
              Complete complete);
  ~ModelRunner();

  ModelRunner(const ModelRunner&) = delete;
  ModelRunner& operator=(const ModelRunner&) = delete;

  // Queues one image; its slot is filled in and `complete` called when its batch is done. Never
  // throws.
  void Submit(ImageWork image);

  // Images waiting for a batch.
  int depth() const { return batcher_.depth(); }
  int thread_count() const { return static_cast<int>(threads_.size()); }
  // Of the passes under way.
  const PassWatch& watch() const { return watch_; }

 private:
  void Stop();
  void InstanceLoop(int instance);
  void RunBatch(int instance, std::vector<ImageWork> batch);
  bool DropIfOver(ImageWork& image);

  const std::shared_ptr<const LoadedModel> model_;
  Metrics* const metrics_;
  const Clock* const clock_;
  const Complete complete_;
  const std::atomic<int>* const preparing_;
  std::atomic<int> running_ = 0;  // images in batches
  PassWatch watch_;
  Batcher<ImageWork> batcher_;
  std::vector<std::thread> threads_;  // last: its threads use everything above
};

}  // namespace pixpool
