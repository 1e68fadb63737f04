// The memory that backbone passes may take at a time. Internal to server/pipeline.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace pixpool {

class MemoryBudget;

// Memory that a pass may use; given back when destroyed. Movable. Must not outlive its budget.
class MemoryLease {
 public:
  MemoryLease() = default;
  MemoryLease(MemoryLease&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), bytes_(other.bytes_) {}
  MemoryLease& operator=(MemoryLease&& other) noexcept;
  ~MemoryLease() { Release(); }
  void Release();

  int64_t bytes() const { return owner_ == nullptr ? 0 : bytes_; }

 private:
  friend class MemoryBudget;
  MemoryLease(MemoryBudget* owner, int64_t bytes) : owner_(owner), bytes_(bytes) {}
  MemoryBudget* owner_ = nullptr;
  int64_t bytes_ = 0;
};

// Lets passes run as their memory fits, beside what models keep between passes.
//
// A pass that does not fit waits in line, and nothing waits with it: passes behind it that fit go
// on, but no more than kMostOvertakes of them past the first in line, after which that one is next
// whatever comes. What models keep is given up before a pass waits for it. Passes of 0 bytes never
// wait, and those that are over leave the line without memory. Thread-safe; never blocks on a pass,
// only for the time that models take to give memory up.
class MemoryBudget {
 public:
  static constexpr int kMostOvertakes = 64;

  // What a model keeps, and how it gives it up: until at most that much is kept, as far as no pass
  // uses it. `held` is called with a lock held and must not throw; `drop` without one, from any
  // thread, and perhaps once more while it is removed.
  struct Keeper {
    std::function<int64_t()> held;
    std::function<void(int64_t most)> drop;
  };
  int AddKeeper(Keeper keeper) ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveKeeper(int number) ABSL_LOCKS_EXCLUDED(mu_);

  struct Pass {
    int64_t bytes = 0;
    // Whether its call is over by now: it needs no memory any more. Called with a lock held; must
    // not throw.
    absl::AnyInvocable<bool() const> over;
    // Called once with the memory, on the thread that made room for it. Must not throw.
    absl::AnyInvocable<void(MemoryLease) &&> run;
  };

  // Calls `pass.run` as soon as its bytes fit, perhaps at once. May throw std::bad_alloc, before
  // the pass is in line; then `run` is not called. More than the capacity waits until nothing else
  // runs: the limit of one pass is checked elsewhere.
  void Reserve(Pass pass) ABSL_LOCKS_EXCLUDED(mu_);

  // Unlimited before the first call.
  void SetCapacity(int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  struct Usage {
    int64_t capacity = std::numeric_limits<int64_t>::max();
    int64_t leased = 0;   // by passes
    int64_t held = 0;     // by models between passes
    int64_t waiting = 0;  // passes in line
  };
  Usage usage() const ABSL_LOCKS_EXCLUDED(mu_);
  int64_t capacity() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class MemoryLease;

  // What became of the line.
  struct Turn {
    std::optional<Pass> next;  // to run now
    MemoryLease lease;         // for it
    int64_t hold = -1;         // what models may keep so that another fits; negative: no use
  };

  void Return(int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // Runs those in line that fit.
  void Serve() ABSL_LOCKS_EXCLUDED(mu_);
  // `at_last`: nothing more can be given up.
  Turn TakeTurn(int64_t held, bool at_last) ABSL_LOCKS_EXCLUDED(mu_);

  // Where memory has run out what is in line must go on, so none of these takes any.
  using KeeperEntry = std::pair<int, std::shared_ptr<const Keeper>>;
  // The first keeper after a number; null: there is none.
  KeeperEntry After(int number) const ABSL_LOCKS_EXCLUDED(mu_);
  int64_t Held() const ABSL_LOCKS_EXCLUDED(mu_);
  // Whether anything was given up.
  bool DropTo(int64_t most) ABSL_LOCKS_EXCLUDED(mu_);

  mutable absl::Mutex mu_;
  int64_t capacity_ ABSL_GUARDED_BY(mu_) = std::numeric_limits<int64_t>::max();
  int64_t leased_ ABSL_GUARDED_BY(mu_) = 0;
  int overtakes_ ABSL_GUARDED_BY(mu_) = 0;  // of the first in line
  std::list<Pass> line_ ABSL_GUARDED_BY(mu_);
  int last_keeper_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<int, std::shared_ptr<const Keeper>> keepers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
