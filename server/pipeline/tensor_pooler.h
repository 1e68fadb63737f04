// PoolTensor's short way through the pipeline: plan -> admit -> decode pool: heads, done.
// Internal to server/pipeline.
#pragma once

#include <memory>

#include "server/base/thread_pool.h"
#include "server/metrics/metrics.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/options.h"
#include "server/pipeline/request.h"

namespace pixpool {

// Thread-safe. Owns nothing that it is given; all of it must outlive the work, which ends with the
// decode pool.
class TensorPooler {
 public:
  TensorPooler(const PipelineOptions& options, Admission* admission, ThreadPool* decode_pool,
               Metrics* metrics, const Clock* clock)
      : options_(options),
        admission_(admission),
        decode_pool_(decode_pool),
        metrics_(metrics),
        clock_(clock) {}

  // As Pipeline::Pool.
  void Pool(PoolRequest request, PoolDone done);

 private:
  struct Work;

  absl::Status Admit(Work* work);

  // The heads of a tensor and the reply, on a decode thread.
  void Run(Work* work);
  absl::Status Compute(Work* work);

  const PipelineOptions& options_;
  Admission* const admission_;
  ThreadPool* const decode_pool_;
  Metrics* const metrics_;
  const Clock* const clock_;
};

}  // namespace pixpool
