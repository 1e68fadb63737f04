// PoolTensor's short way through the engine: validate -> admit -> cpu pool: heads, done.
// Internal to server/engine.
#pragma once

#include <memory>

#include "server/base/thread_pool.h"
#include "server/engine/engine.h"

namespace pixpool {

// Thread-safe. Owns nothing that it is given; all of it must outlive the work, which ends with the
// cpu pool.
class TensorPooler {
 public:
  TensorPooler(const EngineOptions& options, Admission* admission, ThreadPool* cpu_pool,
               Metrics* metrics, const Clock* clock)
      : options_(options),
        admission_(admission),
        cpu_pool_(cpu_pool),
        metrics_(metrics),
        clock_(clock) {}

  // As Engine::Pool.
  void Pool(PoolRequest request, Engine::PoolDone done);

 private:
  struct Work;

  absl::Status Admit(Work* work);

  // The heads of a tensor, on a cpu thread.
  absl::Status Compute(Work* work);

  const EngineOptions& options_;
  Admission* const admission_;
  ThreadPool* const cpu_pool_;
  Metrics* const metrics_;
  const Clock* const clock_;
};

}  // namespace pixpool
