#pragma once

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace pixpool {

// A fixed number of threads that run closures in the order of their arrival.
//
// Thread-safe. Schedule never blocks and never refuses: bounding the work is the caller's business
// (Admission). The destructor runs everything that was scheduled, then joins.
class ThreadPool {
 public:
  // `name` is what debuggers and `top -H` show, at most 15 characters; `thread_count` at least 1.
  ThreadPool(const std::string& name, int thread_count);
  ~ThreadPool();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void Schedule(absl::AnyInvocable<void() &&> work);

  int thread_count() const { return static_cast<int>(threads_.size()); }

  // Closures waiting for a thread.
  int queue_depth() const;

 private:
  void Run();
  void Join();

  mutable absl::Mutex mu_;
  std::deque<absl::AnyInvocable<void() &&>> queue_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;

  std::vector<std::thread> threads_;  // constant after construction
};

// Gives the calling thread a name for debuggers; cut to 15 characters.
void SetThreadName(const std::string& name);

}  // namespace pixpool
