// Pictures decoded in processes that can do nothing else, so that a flaw in a decoder costs its
// picture and not the server.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/input/picture_inputs.h"
#include "server/isolation/failure.h"
#include "server/isolation/worker_process.h"

namespace pixpool {

struct DecodeWorkersSettings {
  std::string program;  // of the workers (WorkerProgram)
  int count = 1;        // pictures that are decoded at a time
  int64_t memory = 0;   // what all processes may use, for allocators
  // What the smallest picture may take of a processor's time; larger ones have more (BoundsOf).
  std::chrono::milliseconds patience{5000};
  // Called for each worker that was replaced, from the thread that had it; may be null.
  std::function<void(WorkerFailure)> failed;
};

// Workers, and MakeInputs done by them. Thread-safe.
class DecodeWorkers {
 public:
  // Starts them all. UNAVAILABLE where one cannot be started.
  static absl::StatusOr<std::unique_ptr<DecodeWorkers>> Start(DecodeWorkersSettings settings);

  // MakeInputs, with the same answer, in a worker; blocks while all are busy. The bytes are copied.
  // Where the worker fails, another takes its place, and the picture gets an error that says what
  // happened: IMAGE_UNDECODABLE for what the picture did, OVERLOADED where the worker was killed
  // from outside or cannot be started. OVERLOADED too where memory runs out under a limit that is
  // not ours.
  absl::StatusOr<PictureInputs> MakeInputs(const PictureTask& task, const Clock& clock);

  // Whether the workers' system calls are filtered; where not, `refusal` says why.
  bool filtered() const { return refusal_.empty(); }
  const std::string& refusal() const { return refusal_; }

  // Workers that live.
  int alive() const { return alive_.load(); }

  // Memory of the workers' own that is in RAM now, in all. Call while none decodes.
  int64_t ResidentBytes() const;

 private:
  explicit DecodeWorkers(DecodeWorkersSettings settings);
  absl::StatusOr<std::unique_ptr<WorkerProcess>> StartOne() const;
  std::unique_ptr<WorkerProcess> Take();
  void Put(std::unique_ptr<WorkerProcess> worker);
  absl::StatusOr<PictureInputs> RunIn(std::unique_ptr<WorkerProcess>* worker,
                                      const PictureTask& task);
  // The same for a picture that waits for it: OVERLOADED.
  absl::StatusOr<std::unique_ptr<WorkerProcess>> StartAnew();
  void Replace(std::unique_ptr<WorkerProcess>* worker, WorkerFailure failure,
               std::string_view detail);
  void Note(WorkerFailure failure, std::string_view detail) const;

  const DecodeWorkersSettings settings_;
  const bool memory_is_limited_;  // by a limit on the process that is not ours
  std::string refusal_;           // constant after Start
  std::atomic<int> alive_ = 0;

  mutable absl::Mutex mu_;
  // As many as there may be, less those that work; null for one that could not be started.
  std::vector<std::unique_ptr<WorkerProcess>> idle_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
