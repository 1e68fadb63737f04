// What waits for a decode thread, and whose turn it is. Internal to server/pipeline.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "server/base/call_context.h"

namespace pixpool {

// Orders the work of all calls.
//
// PARAMETERS AND BEHAVIOR
//   Work belongs to a lane (a model; pooling of tensors). A lane with a window hands out only as
//   many pieces as its instances can soon take: each turn comes with a place, and the place is free
//   again when what holds it is destroyed. So a backlog waits here, in order, and not behind the
//   decoding, where nothing could overtake it.
//   Interactive work goes first, and finds places that bulk work holds no hindrance. Bulk work gets
//   every 16th turn at least, and all that interactive work leaves. Within a class callers take
//   turns, however many pieces each has. The work of a caller is in order of arrival, or, where
//   `newest_first` says so of as many pieces, interactive work in the opposite one: under a long
//   backlog the oldest is the likeliest to be late already, and under a short one it would wait
//   for ever.
//
// Thread-safe. Push never blocks and never refuses: bounding is Admission's business. After Close,
// Next hands out what is left, without regard to windows, then nullopt. Must outlive the places
// that it hands out.
class WorkQueue {
 public:
  // What comes with a turn. `urgent` work is to go ahead of other work from here on as well.
  struct Turn {
    bool urgent = false;
    std::shared_ptr<void> place;
  };
  using Work = absl::AnyInvocable<void(Turn) &&>;

  struct Entry {
    const void* lane = nullptr;
    int window = 0;  // of the lane; 0: none
    Priority priority = Priority::kInteractive;
    std::string caller;
    Work work;
  };

  // `newest_first` is called with the lock held.
  explicit WorkQueue(std::function<bool(int depth)> newest_first = nullptr);

  // Throws std::bad_alloc; nothing was pushed then.
  void Push(Entry entry);

  // Blocks until a piece may go; its work is to be called once, with the turn. Throws
  // std::bad_alloc before it takes a piece.
  struct Ready {
    Work work;
    Turn turn;
  };
  std::optional<Ready> Next();

  // Calls the work whose turn it is until Close, and then what is left. Where there is no memory
  // for a turn, waits for some.
  void Serve();

  void Close();

  // Pieces that wait.
  int depth() const;

 private:
  // The callers of one class, in the order in which it is their turn; none without work.
  struct Class {
    std::map<std::string, std::deque<Work>> work;
    std::list<std::string> turns;
  };
  // Counts among those ahead until it is destroyed.
  struct Place {
    explicit Place(WorkQueue* of) : queue(of) {}
    ~Place();
    WorkQueue* const queue;
    int* ahead = nullptr;  // in a lane; null: of no lane
  };
  struct Lane {
    int window = 0;
    int64_t served = 0;  // number of its last turn
    std::array<int, 2> ahead{};
    std::array<Class, 2> classes;
  };

  // Whether the lane may hand out work of the class now.
  bool MayGo(const Lane& lane, Priority priority) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // The lane of those that may whose last turn is longest ago, or null.
  Lane* LaneFor(Priority priority) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AnyMayGo() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool BulkIsDue() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return turns_without_bulk_ >= 15; }
  Work Take(Class* from, bool newest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::function<bool(int depth)> newest_first_;

  mutable absl::Mutex mu_;
  std::map<const void*, Lane> lanes_ ABSL_GUARDED_BY(mu_);
  int depth_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t turns_ ABSL_GUARDED_BY(mu_) = 0;
  int turns_without_bulk_ ABSL_GUARDED_BY(mu_) = 0;  // while bulk work waited
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pixpool
