// One worker as the server sees it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/isolation/failure.h"
#include "server/isolation/shared_bytes.h"

namespace pixpool {

// What a task may take at the most.
struct WorkBounds {
  int64_t data_bytes = 0;  // of the worker's own memory, besides what it starts with
  std::chrono::milliseconds cpu{0};
  std::chrono::milliseconds wall{0};  // also where the worker only waits
};

struct WorkOutcome {
  std::optional<WorkerFailure> failure;  // the worker is dead then
  std::string detail;                    // of a failure, for messages: "it was ended by SIGSEGV"
  bool untouched = false;                // it was dead before it saw the task
  std::string reply;
};

// A process that runs RunWorker, and the memory that is shared with it. It sees no descriptor of
// the server's, no environment but what loading and sanitizers need, and no signal of the
// terminal's. One thread at a time.
class WorkerProcess {
 public:
  // Starts `program`. `memory` is what all processes may use, for its allocator. UNAVAILABLE, with
  // words for the log. It ends at the latest with the thread that called this.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Start(const std::string& program,
                                                              int64_t memory);
  // Waits until it can do no more than decode. Call once, before all below. UNAVAILABLE likewise.
  absl::Status AwaitReady();
  // Ends the process, whatever it does.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  SharedBytes& memory() { return memory_; }

  // Has it do a task, and waits for the reply.
  WorkOutcome Run(std::string_view message, const WorkBounds& bounds);

  // Whether its system calls are filtered; where not, why.
  bool filtered() const { return refusal_.empty(); }
  const std::string& refusal() const { return refusal_; }

  // Whether a task is under way: after Run only where that threw, as for lack of memory. It must
  // not get another one then, whose answer would be this one's.
  bool busy() const { return busy_; }

  pid_t pid() const { return pid_; }

 private:
  WorkerProcess(pid_t pid, int channel, SharedBytes memory)
      : pid_(pid), channel_(channel), memory_(std::move(memory)) {}
  void BoundData(int64_t bytes);
  // What it has used of the processor since it was started.
  std::chrono::nanoseconds CpuTime() const;
  // Ends it and says how it came to its end.
  WorkOutcome Bury(std::optional<WorkerFailure> known, std::string detail);

  pid_t pid_;
  int channel_;
  SharedBytes memory_;
  std::string refusal_;
  bool busy_ = false;
  int64_t first_data_bytes_ = 0;
  int64_t bounded_to_ = -1;
};

}  // namespace pixpool
