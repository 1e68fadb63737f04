// Dynamic batching across requests.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "server/base/clock.h"

namespace pixpool {

// Settings of a Batcher.
struct BatcherOptions {
  int max_batch_size = 1;  // at least 1
  // Longest time that a task may be passed over in favour of a fuller batch of another group.
  TimeDuration max_delay{};
};

// How many tasks of a group an instance may hold in all so that the idle ones, itself included, get
// as much each: ceil(tasks / idle), at most max_batch_size. `idle` is at least 1.
inline size_t FairShare(size_t tasks, size_t idle, size_t max_batch_size) {
  return std::min(max_batch_size, (tasks + idle - 1) / idle);
}

// Collects tasks and hands them out in batches.
//
// PARAMETERS AND BEHAVIOR
//   Tasks belong to groups (here: the network's input size); a batch holds one group only, in order
//   of arrival. An instance thread calls Next() and gets a batch at once whenever any task waits:
//   an idle instance never waits for a batch to fill, so at low load latency is that of a single
//   image, and at high load batches fill while the instances are busy. Which group is served: one
//   whose oldest task has waited max_delay or longer (the oldest of those), else the one that fills
//   the largest batch, ties to the oldest. A batch takes min(max_batch_size, ceil(tasks of the
//   group / idle instances)) tasks, so that one instance does not starve another. Urgent tasks go
//   before those that are not, in their group and in the choice of the group. Tasks for which
//   `drop` returns true (cancelled, expired) when a batch is formed never reach a batch; `drop`
//   must have disposed of them. It is called without the lock held, from several threads at once.
//   The place of a dropped task is filled from what waits in the same group.
//
// Thread-safe. Submit never blocks and never refuses before Close: bounding is Admission's
// business. After Close, Next hands out what is left, then nullopt for ever. The destructor
// requires that no thread is inside Next.
template <typename Task>
class Batcher {
 public:
  // Takes the task by reference; true means that it was disposed of and is to be left out. Must not
  // throw.
  using Drop = absl::AnyInvocable<bool(Task&)>;

  Batcher(BatcherOptions options, const Clock* clock, Drop drop);

  // Adds a task. `group` is any ordered key. Returns false, leaving `task` as it is, after Close.
  // Throws std::bad_alloc, likewise leaving `task` as it is.
  bool Submit(size_t group, Task& task, bool urgent = false);

  // Blocks until a task waits or the batcher is closed and empty (nullopt). Batches are never
  // empty. Throws std::bad_alloc before it takes a task.
  std::optional<std::vector<Task>> Next();

  void Close();

  // Tasks waiting.
  int depth() const;

  // Threads that wait in Next for a task.
  int idle() const;

 private:
  struct Entry {
    uint64_t number = 0;  // order of arrival
    TimePoint arrival;
    bool urgent = false;
    Task task;
  };
  // Never empty; the urgent ones first, each kind in order of arrival.
  using Group = std::deque<Entry>;
  using Groups = std::map<size_t, Group>;

  // The group to serve now; `groups_` is not empty.
  typename Groups::iterator Choose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Moves the first `count` tasks of a group to the end of `batch`; removes the group when nothing
  // is left.
  void Take(typename Groups::iterator group, size_t count, std::vector<Task>* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Removes the tasks from position `first` on that are to be dropped.
  void DropFrom(size_t first, std::vector<Task>* batch) ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction; drop_ is called without the lock.
  const size_t max_batch_size_;
  const TimeDuration max_delay_;
  const Clock* const clock_;
  Drop drop_;

  mutable absl::Mutex mu_;
  // Holds no empty group, so it is empty just when no task waits.
  Groups groups_ ABSL_GUARDED_BY(mu_);
  uint64_t submitted_ ABSL_GUARDED_BY(mu_) = 0;
  // Threads inside Next that have no task in hand.
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

// ---------------------------------------------------------------------------------------------------
// Implementation details follow; users of the class need not read on.

template <typename Task>
Batcher<Task>::Batcher(BatcherOptions options, const Clock* clock, Drop drop)
    : max_batch_size_(static_cast<size_t>(std::max(1, options.max_batch_size))),
      max_delay_(options.max_delay),
      clock_(clock),
      drop_(std::move(drop)) {}

template <typename Task>
bool Batcher<Task>::Submit(size_t group, Task& task, bool urgent) {
  absl::MutexLock lock(&mu_);
  if (closed_) return false;
  const auto own = groups_.try_emplace(group).first;
  Group& entries = own->second;
  try {
    entries.emplace_back();
  } catch (...) {
    if (entries.empty()) groups_.erase(own);
    throw;
  }
  const auto last = std::prev(entries.end());
  *last = Entry{submitted_++, clock_->Now(), urgent, std::move(task)};
  if (urgent) {
    const auto place =
        std::find_if(entries.begin(), last, [](const Entry& e) { return !e.urgent; });
    std::rotate(place, last, entries.end());
  }
  return true;
}

template <typename Task>
std::optional<std::vector<Task>> Batcher<Task>::Next() {
  const auto has_task_or_closed = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return !groups_.empty() || closed_;
  };
  std::vector<Task> batch;
  batch.reserve(max_batch_size_);  // nothing below takes memory
  for (;;) {
    size_t key = 0;
    {
      absl::MutexLock lock(&mu_);
      ++idle_;
      mu_.Await(absl::Condition(&has_task_or_closed));
      if (groups_.empty()) {
        --idle_;
        return std::nullopt;
      }
      const auto group = Choose();
      key = group->first;
      const size_t count = FairShare(group->second.size(), idle_, max_batch_size_);
      --idle_;
      Take(group, count, &batch);
    }
    DropFrom(0, &batch);
    // Fill the places of dropped tasks: under overload, when many expire, batches must not shrink.
    for (;;) {
      const size_t kept = batch.size();
      {
        absl::MutexLock lock(&mu_);
        const auto group = groups_.find(key);
        if (group == groups_.end()) break;
        const size_t share = FairShare(kept + group->second.size(), idle_ + 1, max_batch_size_);
        if (share <= kept) break;
        Take(group, share - kept, &batch);
      }
      DropFrom(kept, &batch);
    }
    if (!batch.empty()) return batch;
  }
}

template <typename Task>
void Batcher<Task>::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
}

template <typename Task>
int Batcher<Task>::depth() const {
  absl::MutexLock lock(&mu_);
  size_t count = 0;
  for (const auto& [key, group] : groups_) count += group.size();
  return static_cast<int>(count);
}

template <typename Task>
int Batcher<Task>::idle() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(idle_);
}

template <typename Task>
typename Batcher<Task>::Groups::iterator Batcher<Task>::Choose() {
  // Of groups that begin with an urgent task, if there are any.
  const auto first = std::find_if(groups_.begin(), groups_.end(),
                                  [](const auto& group) { return group.second.front().urgent; });
  const bool urgent = first != groups_.end();
  const auto older = [](const auto& a, const auto& b) {
    return a->second.front().number < b->second.front().number;
  };
  auto oldest = urgent ? first : groups_.begin();
  auto fullest = oldest;
  for (auto it = oldest; it != groups_.end(); ++it) {
    if (it->second.front().urgent != urgent) continue;
    if (older(it, oldest)) oldest = it;
    const size_t size = std::min(it->second.size(), max_batch_size_);
    const size_t best = std::min(fullest->second.size(), max_batch_size_);
    if (size > best || (size == best && older(it, fullest))) fullest = it;
  }
  // If any task has waited too long, then so has the oldest one.
  const bool overdue = clock_->Now() - oldest->second.front().arrival >= max_delay_;
  return overdue ? oldest : fullest;
}

template <typename Task>
void Batcher<Task>::Take(typename Groups::iterator group, size_t count, std::vector<Task>* batch) {
  Group& entries = group->second;
  for (size_t i = 0; i < count; ++i) {
    batch->push_back(std::move(entries.front().task));
    entries.pop_front();
  }
  if (entries.empty()) groups_.erase(group);
}

template <typename Task>
void Batcher<Task>::DropFrom(size_t first, std::vector<Task>* batch) {
  const auto begin = batch->begin() + static_cast<std::ptrdiff_t>(first);
  batch->erase(std::remove_if(begin, batch->end(), [this](Task& task) { return drop_(task); }),
               batch->end());
}

}  // namespace pixpool
