// Counts and times of this protocol's requests, as Triton's clients read them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "inference/grpc_service.pb.h"
#include "server/pipeline/pipeline.h"

namespace pixpool::kserve {

// Thread-safe. Holds a row for each model and version that was loaded, no more.
class Statistics {
 public:
  // One request that was admitted or failed after its model was found. `convert` is the time that
  // its answer took to write, `total` that from arrival to answer.
  void Add(const ModelInfo& model, bool ok, const StageDurations& times, size_t images,
           TimeDuration convert, TimeDuration total);

  void ToProto(const std::string& name, const std::string& version,
               inference::ModelStatistics* out) const;

 private:
  struct Sum {
    uint64_t count = 0;
    TimeDuration time{};
    void Add(TimeDuration d) {
      ++count;
      time += d;
    }
    void ToProto(inference::StatisticDuration* out) const;
  };
  struct Row {
    Sum success, fail, queue, input, infer, output;
    uint64_t images = 0;
    int64_t last_ms = 0;
  };

  mutable absl::Mutex mu_;
  std::map<std::pair<std::string, std::string>, Row> rows_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool::kserve
