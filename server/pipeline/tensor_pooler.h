// PoolTensor's short way through the pipeline: plan -> admit -> decode pool: heads, done.
// Internal to server/pipeline.
#pragma once

#include <memory>

#include "server/metrics/metrics.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/options.h"
#include "server/pipeline/request.h"
#include "server/pipeline/work_queue.h"
#include "server/pipeline/work_times.h"

namespace pixpool {

// Thread-safe. Owns nothing that it is given; all of it must outlive the work, which ends with the
// decode pool.
class TensorPooler {
 public:
  TensorPooler(const PipelineOptions& options, Admission* admission, WorkQueue* queue,
               WorkTimes* times, Metrics* metrics, const Clock* clock)
      : options_(options),
        admission_(admission),
        queue_(queue),
        times_(times),
        metrics_(metrics),
        clock_(clock) {}

  // As Pipeline::Pool.
  void Pool(PoolRequest request, PoolDone done);

 private:
  struct Work;

  absl::Status Admit(Work* work);

  // The heads of a tensor, on a decode thread.
  absl::Status Compute(Work* work);

  // Ends work that was admitted.
  void Finish(Work* work, absl::Status status);

  const PipelineOptions& options_;
  Admission* const admission_;
  WorkQueue* const queue_;
  WorkTimes* const times_;
  Metrics* const metrics_;
  const Clock* const clock_;
};

}  // namespace pixpool
