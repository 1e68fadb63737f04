// The runners of all models. Internal to server/pipeline.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/pipeline/model_runner.h"

namespace pixpool {

// Makes a model's runner when its first picture comes. Thread-safe; what it is given must outlive
// it, but not the models.
class ModelRunners {
 public:
  // See ModelRunner.
  ModelRunners(const PipelineOptions& options, const std::atomic<int>* preparing,
               MemoryBudget* memory, Metrics* metrics, const Clock* clock,
               ModelRunner::Complete complete)
      : options_(options),
        preparing_(preparing),
        memory_(memory),
        metrics_(metrics),
        clock_(clock),
        complete_(std::move(complete)) {}

  // Hands a pass, which is ready now, to its model's runner. `complete` is called once; never
  // throws.
  void Submit(ImageWork pass);

  // As Pipeline::Progress.
  absl::Status Progress(double times) const;

  struct State {
    std::shared_ptr<ModelMetrics> metrics;
    int waiting = 0;  // images, for memory or for a batch
    int threads = 0;
    TimeDuration oldest_pass{};  // of those under way
  };
  std::map<const Model*, State> States(TimePoint now) const;

  // Ends the runner of a model to which nothing more is submitted, and waits for its threads.
  void End(const Model* model);

  // Runs what was submitted, then ends all runners.
  void Stop();

 private:
  ModelRunner* Of(const LoadedModel& model);

  const PipelineOptions& options_;
  const std::atomic<int>* const preparing_;
  MemoryBudget* const memory_;
  Metrics* const metrics_;
  const Clock* const clock_;
  const ModelRunner::Complete complete_;

  mutable absl::Mutex mu_;
  // absl's tables do not survive a failed allocation.
  std::map<const Model*, std::unique_ptr<ModelRunner>> runners_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
