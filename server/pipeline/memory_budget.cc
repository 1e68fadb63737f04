#include "server/pipeline/memory_budget.h"

#include <algorithm>

#include "server/base/guarded.h"

namespace pixpool {

MemoryLease& MemoryLease::operator=(MemoryLease&& other) noexcept {
  if (this != &other) {
    Release();
    owner_ = std::exchange(other.owner_, nullptr);
    bytes_ = other.bytes_;
  }
  return *this;
}

void MemoryLease::Release() {
  if (MemoryBudget* owner = std::exchange(owner_, nullptr)) owner->Return(bytes_);
}

int MemoryBudget::AddKeeper(Keeper keeper) {
  auto kept = std::make_shared<const Keeper>(std::move(keeper));
  absl::MutexLock lock(&mu_);
  keepers_[++last_keeper_] = std::move(kept);
  return last_keeper_;
}

void MemoryBudget::RemoveKeeper(int number) {
  absl::MutexLock lock(&mu_);
  keepers_.erase(number);
}

void MemoryBudget::Reserve(Pass pass) {
  if (pass.bytes <= 0) return std::move(pass.run)(MemoryLease());
  {
    absl::MutexLock lock(&mu_);
    line_.push_back(std::move(pass));
  }
  Serve();
}

void MemoryBudget::SetCapacity(int64_t bytes) {
  {
    absl::MutexLock lock(&mu_);
    capacity_ = bytes;
  }
  Serve();
}

MemoryBudget::Usage MemoryBudget::usage() const {
  const int64_t held = Held();
  absl::MutexLock lock(&mu_);
  return {capacity_, leased_, held, static_cast<int64_t>(line_.size())};
}

int64_t MemoryBudget::capacity() const {
  absl::MutexLock lock(&mu_);
  return capacity_;
}

void MemoryBudget::Return(int64_t bytes) {
  {
    absl::MutexLock lock(&mu_);
    leased_ -= bytes;
  }
  Serve();
}

void MemoryBudget::Serve() {
  bool at_last = false;
  for (;;) {
    Turn turn = TakeTurn(Held(), at_last);
    if (turn.next) {
      std::move(turn.next->run)(std::move(turn.lease));
      continue;
    }
    if (turn.hold < 0 || at_last) return;
    at_last = !DropTo(turn.hold);
  }
}

MemoryBudget::Turn MemoryBudget::TakeTurn(int64_t held, bool at_last) {
  absl::MutexLock lock(&mu_);
  Turn turn;
  const auto take = [&](std::list<Pass>::iterator pass) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (pass == line_.begin()) overtakes_ = 0;
    turn.next = std::move(*pass);
    line_.erase(pass);
  };
  for (auto it = line_.begin(); it != line_.end(); ++it) {
    const bool first = it == line_.begin();
    if (it->over()) {
      take(it);
      return turn;
    }
    if (!first && overtakes_ >= kMostOvertakes) break;
    // Differences, so that no sum can overflow. One that fits in no other way runs alone.
    const int64_t room = capacity_ - leased_;
    const bool alone = leased_ == 0 && first;
    if (it->bytes <= room - held || (alone && (held <= 0 || at_last))) {
      ++overtakes_;
      leased_ += it->bytes;
      turn.lease = MemoryLease(this, it->bytes);
      take(it);
      return turn;
    }
    if (turn.hold < 0 && it->bytes <= room) turn.hold = room - it->bytes;
    if (turn.hold < 0 && alone) turn.hold = 0;
  }
  return turn;
}

MemoryBudget::KeeperEntry MemoryBudget::After(int number) const {
  absl::MutexLock lock(&mu_);
  const auto next = keepers_.upper_bound(number);
  return next == keepers_.end() ? KeeperEntry{} : KeeperEntry{next->first, next->second};
}

int64_t MemoryBudget::Held() const {
  absl::MutexLock lock(&mu_);
  int64_t held = 0;
  for (const auto& [number, keeper] : keepers_) held += keeper->held();
  return held;
}

bool MemoryBudget::DropTo(int64_t most) {
  const int64_t before = Held();
  for (KeeperEntry next = After(0); next.second != nullptr; next = After(next.first)) {
    const Keeper& keeper = *next.second;
    const int64_t excess = Held() - most;
    const absl::Status dropped = Guarded("drop_failed", "memory was not given up", [&] {
      if (excess > 0) keeper.drop(std::max<int64_t>(0, keeper.held() - excess));
      return absl::OkStatus();
    });
    if (!dropped.ok()) break;
  }
  return Held() < before;
}

}  // namespace pixpool
