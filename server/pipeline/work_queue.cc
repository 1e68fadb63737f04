#include "server/pipeline/work_queue.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "server/base/guarded.h"

namespace pixpool {
namespace {

constexpr size_t kInteractive = static_cast<size_t>(Priority::kInteractive);
constexpr size_t kBulk = static_cast<size_t>(Priority::kBulk);

constexpr auto kMemoryPause = std::chrono::milliseconds(10);

size_t Index(Priority priority) { return static_cast<size_t>(priority); }

}  // namespace

WorkQueue::WorkQueue(std::function<bool(int depth)> newest_first)
    : newest_first_(std::move(newest_first)) {}

void WorkQueue::Push(Entry entry) {
  absl::MutexLock lock(&mu_);
  Lane& lane = lanes_[entry.lane];
  lane.window = entry.window;
  Class& in = lane.classes[Index(entry.priority)];
  // Where memory has run out nothing must be left half done.
  std::list<std::string> turn = {entry.caller};
  const auto [own, first] = in.work.try_emplace(entry.caller);
  try {
    own->second.push_back(std::move(entry.work));
  } catch (...) {
    if (first) in.work.erase(own);
    throw;
  }
  if (first) in.turns.splice(in.turns.end(), turn);
  ++depth_;
}

std::optional<WorkQueue::Ready> WorkQueue::Next() {
  const auto may_go_or_closed = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return AnyMayGo() || (closed_ && depth_ == 0);
  };
  auto place = std::make_shared<Place>(this);  // before anything is taken
  absl::MutexLock lock(&mu_, absl::Condition(&may_go_or_closed));
  if (depth_ == 0) return std::nullopt;
  const bool due = BulkIsDue();
  Priority priority = due ? Priority::kBulk : Priority::kInteractive;
  Lane* lane = LaneFor(priority);
  if (lane == nullptr) {
    priority = due ? Priority::kInteractive : Priority::kBulk;
    lane = LaneFor(priority);
  }
  Ready ready;
  ready.turn.urgent = due || priority == Priority::kInteractive;
  if (lane->window > 0) {
    place->ahead = &lane->ahead[Index(priority)];
    ++*place->ahead;
    ready.turn.place = std::move(place);
  }
  const bool newest = priority == Priority::kInteractive && newest_first_ && newest_first_(depth_);
  ready.work = Take(&lane->classes[Index(priority)], newest);
  --depth_;
  lane->served = ++turns_;
  const bool bulk_waits = std::any_of(lanes_.begin(), lanes_.end(), [](const auto& entry) {
    return !entry.second.classes[kBulk].turns.empty();
  });
  turns_without_bulk_ = priority == Priority::kBulk || !bulk_waits ? 0 : turns_without_bulk_ + 1;
  return ready;
}

void WorkQueue::Serve() {
  for (;;) {
    std::optional<Ready> ready;
    const absl::Status next = Guarded("queue_failed", "no turn", [&] {
      ready = Next();
      return absl::OkStatus();
    });
    if (!next.ok()) {
      std::this_thread::sleep_for(kMemoryPause);
    } else if (ready) {
      std::move(ready->work)(std::move(ready->turn));
    } else {
      return;
    }
  }
}

void WorkQueue::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
}

int WorkQueue::depth() const {
  absl::MutexLock lock(&mu_);
  return depth_;
}

bool WorkQueue::MayGo(const Lane& lane, Priority priority) const {
  if (lane.classes[Index(priority)].turns.empty()) return false;
  if (lane.window == 0 || closed_) return true;
  if (priority == Priority::kInteractive) return lane.ahead[kInteractive] < lane.window;
  return BulkIsDue() || lane.ahead[kInteractive] + lane.ahead[kBulk] < lane.window;
}

bool WorkQueue::AnyMayGo() const {
  return std::any_of(
      lanes_.begin(), lanes_.end(), [this](const auto& entry) ABSL_SHARED_LOCKS_REQUIRED(mu_) {
        return MayGo(entry.second, Priority::kInteractive) || MayGo(entry.second, Priority::kBulk);
      });
}

WorkQueue::Lane* WorkQueue::LaneFor(Priority priority) {
  Lane* best = nullptr;
  for (auto& [key, lane] : lanes_) {
    if (MayGo(lane, priority) && (best == nullptr || lane.served < best->served)) best = &lane;
  }
  return best;
}

WorkQueue::Work WorkQueue::Take(Class* from, bool newest) {
  const auto own = from->work.find(from->turns.front());
  std::deque<Work>& all = own->second;
  Work work = std::move(newest ? all.back() : all.front());
  newest ? all.pop_back() : all.pop_front();
  if (all.empty()) {
    from->work.erase(own);
    from->turns.pop_front();
  } else {
    from->turns.splice(from->turns.end(), from->turns, from->turns.begin());
  }
  return work;
}

WorkQueue::Place::~Place() {
  if (ahead == nullptr) return;
  absl::MutexLock lock(&queue->mu_);
  --*ahead;
}

}  // namespace pixpool
