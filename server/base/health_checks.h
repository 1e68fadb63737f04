// Named questions whose answers together say whether the process is well.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace pixpool {

// A list of checks. Thread-safe. A check is called from any thread, several at a time, and often
// (each probe, and a few times a second besides): it must be thread-safe, quick, and never wait for
// the work that it judges. What it reads must outlive the list.
//
//   HealthChecks ready;
//   ready.Add("backbone", [&runner] { return runner.Progress(); });
class HealthChecks {
 public:
  using Check = std::function<absl::Status()>;

  // `name` is one word. The message of a failed check is shown to whoever probes: no paths.
  void Add(std::string name, Check check);

  // OK where every check is. Otherwise UNAVAILABLE with "NAME: MESSAGE" of each that is not, in the
  // order in which they were added.
  absl::Status Run() const;

 private:
  mutable absl::Mutex mu_;
  std::vector<std::pair<std::string, Check>> checks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
