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

// What a turn costs at the least, so that pieces whose time is not known yet take turns as well.
constexpr double kLeastSeconds = 0.001;

// Seconds of interactive work to one of bulk work that waits.
constexpr double kBulkRatio = 15;

// How far a caller may be behind the others, in seconds of work.
constexpr double kMostArrears = 2;

// With more callers than this, those without work are not remembered.
constexpr size_t kMostCallers = 1024;

// After so many long pieces without short work between them, there is none to leave a thread to.
constexpr int kLongAlone = 2;

size_t Index(Priority priority) { return static_cast<size_t>(priority); }

// Of counts by class, those that a piece of this class waits for.
int Before(const std::array<int, 2>& counts, Priority priority) {
  return counts[kInteractive] + (priority == Priority::kBulk ? counts[kBulk] : 0);
}

double CostOf(double seconds) { return std::max(seconds, kLeastSeconds); }

}  // namespace

WorkQueue::WorkQueue(std::function<bool(int depth)> newest_first)
    : newest_first_(std::move(newest_first)), long_turns_(kLongAlone), bulk_piece_(kLeastSeconds) {}

WorkQueue::Kind* WorkQueue::KindOf(const Entry& entry) {
  Lane& lane = lanes_[entry.lane];
  LongWork* crew = nullptr;
  if (entry.crew.key != nullptr) {
    crew = &crews_[entry.crew.key];
    crew->threads = entry.crew.threads;
  }
  Kind& kind = kinds_[{&lane, crew, entry.window}];
  kind.lane = &lane;
  kind.crew = crew;
  kind.window = entry.window;
  lane.window = std::max(lane.window, entry.window);
  return &kind;
}

void WorkQueue::Push(Entry entry) {
  absl::MutexLock lock(&mu_);
  Kind* const kind = KindOf(entry);
  Class& in = classes_[Index(entry.priority)];
  // Where memory runs out no more stays behind than a caller without work.
  Caller& caller = in.callers[entry.caller];
  Line& line = caller.lines[kind];
  Piece piece = {.number = last_ + 1,
                 .seconds = entry.seconds,
                 .since = entry.since,
                 .begun = entry.begun,
                 .over = std::move(entry.over),
                 .work = std::move(entry.work)};
  if (entry.begun) {
    line.push_front(std::move(piece));
  } else {
    line.push_back(std::move(piece));
  }
  ++last_;
  if (caller.waiting == 0) {
    caller.served = std::max(caller.served, in.served);
    caller.last = last_;
  }
  ++caller.waiting;
  ++in.waiting;
  ++kind->waiting[Index(entry.priority)];
  ++depth_;
  begun_ += entry.begun;
  if (kind->crew == nullptr && entry.priority == Priority::kInteractive) long_turns_ = 0;
}

std::optional<WorkQueue::Ready> WorkQueue::Next() {
  const auto may_go_or_closed = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return AnyMayGo() || (closed_ && depth_ == 0);
  };
  // Before anything is taken.
  auto place = std::make_shared<Token>(this);
  auto hold = std::make_shared<Token>(this);
  absl::MutexLock lock(&mu_, absl::Condition(&may_go_or_closed));
  if (depth_ == 0) return std::nullopt;
  const bool due = BulkIsDue();
  Priority priority = due ? Priority::kBulk : Priority::kInteractive;
  Choice choice = Choose(priority);
  if (choice.caller == nullptr) {
    priority = due ? Priority::kInteractive : Priority::kBulk;
    choice = Choose(priority);
  }
  Ready ready;
  ready.turn.urgent = due || priority == Priority::kInteractive;
  Kind& kind = *choice.kind;
  if (kind.window > 0) {
    place->Count({&kind.lane->ahead[Index(priority)], &kind.ahead[Index(priority)]});
    ready.turn.place = std::move(place);
  }
  Piece piece = Take(choice, priority);
  const bool over = piece.over && piece.over();
  if (kind.crew != nullptr && !over) {
    hold->Count({&kind.crew->out[Index(priority)]});
    ready.turn.hold = std::move(hold);
    ++long_turns_;
  }
  Charge(choice.caller, priority, over ? 0 : CostOf(piece.seconds));
  ready.work = std::move(piece.work);
  return ready;
}

WorkQueue::Piece WorkQueue::Take(const Choice& choice, Priority priority) {
  Line& line = choice.caller->lines.find(choice.kind)->second;
  Piece piece = std::move(choice.back ? line.back() : line.front());
  choice.back ? line.pop_back() : line.pop_front();
  --choice.caller->waiting;
  --classes_[Index(priority)].waiting;
  --choice.kind->waiting[Index(priority)];
  --depth_;
  begun_ -= piece.begun;
  return piece;
}

void WorkQueue::Charge(Caller* caller, Priority priority, double seconds) {
  Class& in = classes_[Index(priority)];
  // Who could not go (a full lane, a crew) while others used what was idle is not to keep them from
  // their turns for as long, nor are they to be in its debt.
  in.served = std::max(in.served, caller->served);
  caller->served = std::max(caller->served, in.served - kMostArrears) + seconds;
  caller->last = ++last_;
  // Who has no work and has had no more than others is as good as new.
  const bool many = in.callers.size() > kMostCallers;
  std::erase_if(in.callers, [&](const auto& entry) {
    const Caller& one = entry.second;
    return one.waiting == 0 && (in.waiting == 0 || many || one.served <= in.served);
  });
  if (priority == Priority::kBulk) {
    if (seconds == 0 && in.waiting > 0) return;  // what was over was no turn
    if (seconds > 0) bulk_piece_ = seconds;
  }
  const bool bulk_waits = priority == Priority::kInteractive && classes_[kBulk].waiting > 0;
  without_bulk_ = bulk_waits ? without_bulk_ + seconds : 0;
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

bool WorkQueue::ForgetLane(const void* lane) {
  const auto any = [](const std::array<int, 2>& counts) { return counts[0] + counts[1] > 0; };
  absl::MutexLock lock(&mu_);
  const auto found = lanes_.find(lane);
  if (found == lanes_.end()) return true;
  const auto crew = crews_.find(lane);
  if (any(found->second.ahead) || (crew != crews_.end() && any(crew->second.out))) return false;
  const auto of_lane = [&](const auto& entry) {
    return std::get<Lane*>(entry.first) == &found->second;
  };
  for (const auto& [key, kind] : kinds_) {
    if (std::get<Lane*>(key) == &found->second && any(kind.waiting)) return false;
  }
  for (Class& in : classes_) {
    for (auto& [name, caller] : in.callers) {
      std::erase_if(caller.lines,
                    [&](const auto& line) { return line.first->lane == &found->second; });
    }
  }
  std::erase_if(kinds_, of_lane);
  if (crew != crews_.end()) crews_.erase(crew);
  lanes_.erase(found);
  return true;
}

int WorkQueue::depth() const {
  absl::MutexLock lock(&mu_);
  return depth_;
}

int WorkQueue::images() const {
  absl::MutexLock lock(&mu_);
  return depth_ - begun_;
}

std::map<const void*, WorkQueue::Waiting> WorkQueue::waiting() const {
  std::map<const void*, Waiting> all;
  absl::MutexLock lock(&mu_);
  std::map<const Lane*, Waiting*> by_lane;
  for (const auto& [key, lane] : lanes_) by_lane[&lane] = &all[key];
  for (size_t c = 0; c < classes_.size(); ++c) {
    for (const auto& [name, caller] : classes_[c].callers) {
      for (const auto& [kind, line] : caller.lines) {
        Waiting& in = *by_lane[kind->lane];
        in.pieces += static_cast<int>(line.size());
        // They are in order of arrival, but for those that were begun, which are few and in front.
        for (const Piece& piece : line) {
          in.oldest[c] = std::min(in.oldest[c].value_or(piece.since), piece.since);
          if (!piece.begun) break;
        }
      }
    }
  }
  return all;
}

bool WorkQueue::ready() const {
  absl::MutexLock lock(&mu_);
  return AnyMayGo();
}

bool WorkQueue::BulkIsDue() const {
  // The sum of many parts is not quite the whole.
  return classes_[kBulk].waiting > 0 && without_bulk_ * (1 + 1e-9) >= kBulkRatio * bulk_piece_;
}

bool WorkQueue::MayGo(const Kind& kind, Priority priority) const {
  if (kind.waiting[Index(priority)] == 0) return false;
  if (closed_) return true;
  if (kind.crew != nullptr) {
    const int kept = long_turns_ < kLongAlone ? 1 : 0;
    if (Before(kind.crew->out, priority) >= std::max(1, kind.crew->threads - kept)) return false;
  }
  if (kind.window == 0 || (priority == Priority::kBulk && BulkIsDue())) return true;
  return Before(kind.lane->ahead, priority) < kind.lane->window &&
         Before(kind.ahead, priority) < kind.window;
}

bool WorkQueue::AnyMayGo() const {
  return std::any_of(
      kinds_.begin(), kinds_.end(), [this](const auto& entry) ABSL_SHARED_LOCKS_REQUIRED(mu_) {
        return MayGo(entry.second, Priority::kInteractive) || MayGo(entry.second, Priority::kBulk);
      });
}

WorkQueue::Choice WorkQueue::ChooseOf(Caller* caller, Priority priority, bool newest) const {
  Choice best;
  const Piece* first = nullptr;
  const auto before = [newest](const Piece& a, const Piece& b) {
    if (a.begun != b.begun) return a.begun;
    return newest ? a.number > b.number : a.number < b.number;
  };
  for (auto& [kind, line] : caller->lines) {
    if (line.empty() || !MayGo(*kind, priority)) continue;
    const bool back = newest && !line.front().begun;
    const Piece& piece = back ? line.back() : line.front();
    if (first != nullptr && !before(piece, *first)) continue;
    first = &piece;
    best = {caller, kind, back};
  }
  return best;
}

WorkQueue::Choice WorkQueue::Choose(Priority priority) {
  const bool newest =
      priority == Priority::kInteractive && newest_first_ && newest_first_(depth_ - begun_);
  Choice best;
  for (auto& [name, caller] : classes_[Index(priority)].callers) {
    if (caller.waiting == 0) continue;
    const double least = classes_[Index(priority)].served - kMostArrears;
    const auto before = [least](const Caller& a, const Caller& b) {
      return std::pair(std::max(a.served, least), a.last) <
             std::pair(std::max(b.served, least), b.last);
    };
    if (best.caller != nullptr && !before(caller, *best.caller)) continue;
    const Choice choice = ChooseOf(&caller, priority, newest);
    if (choice.caller != nullptr) best = choice;
  }
  return best;
}

void WorkQueue::Token::Count(std::array<int*, 2> in) {
  counts = in;
  for (int* count : counts) {
    if (count != nullptr) ++*count;
  }
}

WorkQueue::Token::~Token() {
  if (counts[0] == nullptr) return;
  absl::MutexLock lock(&queue->mu_);
  for (int* count : counts) {
    if (count != nullptr) --*count;
  }
}

}  // namespace pixpool
