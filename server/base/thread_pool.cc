#include "server/base/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace pixpool {

ThreadPool::ThreadPool(const std::string& name, int thread_count) {
  const int count = std::max(1, thread_count);
  threads_.reserve(static_cast<size_t>(count));
  try {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this, name] {
        SetThreadName(name);
        Run();
      });
    }
  } catch (...) {  // no more threads can be made
    Join();
    throw;
  }
}

ThreadPool::~ThreadPool() { Join(); }

void ThreadPool::Join() {
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Schedule(absl::AnyInvocable<void() &&> work) {
  absl::MutexLock lock(&mu_);
  queue_.push_back(std::move(work));
}

int ThreadPool::queue_depth() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(queue_.size());
}

void ThreadPool::Run() {
  const auto has_work_or_closed = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !queue_.empty() || closed_;
  };
  for (;;) {
    absl::AnyInvocable<void() &&> work;
    {
      absl::MutexLock lock(&mu_, absl::Condition(&has_work_or_closed));
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    std::move(work)();
  }
}

void SetThreadName(const std::string& name) {
  // The kernel refuses longer names instead of cutting them.
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

}  // namespace pixpool
