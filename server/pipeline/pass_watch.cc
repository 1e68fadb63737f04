#include "server/pipeline/pass_watch.h"

#include <algorithm>

namespace pixpool {
namespace {

// Of one value that a head reads, on a slow core.
constexpr double kSecondsPerOperation = 10e-9;

}  // namespace

PassWatch::PassWatch(int instances, TimeDuration patience, int64_t usual_pixels)
    : patience_(patience),
      usual_pixels_(std::max<int64_t>(1, usual_pixels)),
      slots_(static_cast<size_t>(std::max(1, instances))) {}

TimeDuration PassWatch::MayTake(const PassWork& work) const {
  const double patience = ToSeconds(patience_);
  const auto pixels = static_cast<double>(work.pixels);
  double seconds = patience * std::max(1.0, pixels / kLarge / static_cast<double>(usual_pixels_));
  if (const double slowest = slowest_.load(std::memory_order_relaxed); slowest > 0) {
    seconds = std::max(patience, std::min(seconds, kSlack * slowest * pixels));
  }
  seconds += work.head_operations * kSecondsPerOperation;
  return std::chrono::duration_cast<TimeDuration>(std::chrono::duration<double>(seconds));
}

void PassWatch::Begin(int instance, TimePoint now, const PassWork& work) {
  Slot& slot = slots_[static_cast<size_t>(instance)];
  slot.pixels = work.pixels;
  slot.may_take.store(MayTake(work).count(), std::memory_order_relaxed);
  slot.began.store(now.time_since_epoch().count(), std::memory_order_release);
}

void PassWatch::End(int instance, TimePoint now) {
  Slot& slot = slots_[static_cast<size_t>(instance)];
  const TimePoint began(TimeDuration(slot.began.load(std::memory_order_relaxed)));
  slot.began.store(0, std::memory_order_release);
  if (slot.pixels < usual_pixels_) return;  // says little about larger ones
  const double pace = ToSeconds(now - began) / static_cast<double>(slot.pixels);
  double slowest = slowest_.load(std::memory_order_relaxed);
  while (pace > slowest && !slowest_.compare_exchange_weak(slowest, pace)) {
  }
}

TimeDuration PassWatch::Oldest(TimePoint now) const {
  TimeDuration oldest{};
  for (const Slot& slot : slots_) {
    const TimeDuration::rep began = slot.began.load(std::memory_order_acquire);
    if (began != 0) oldest = std::max(oldest, now.time_since_epoch() - TimeDuration(began));
  }
  return oldest;
}

double PassWatch::TimeUsed(TimePoint now) const {
  double most = 0;
  if (patience_ == TimeDuration::zero()) return most;
  for (const Slot& slot : slots_) {
    const TimeDuration::rep began = slot.began.load(std::memory_order_acquire);
    const TimeDuration may_take(slot.may_take.load(std::memory_order_acquire));
    // Where another pass has begun meanwhile, the time may be that one's; it has hardly used any.
    if (began == 0 || slot.began.load(std::memory_order_relaxed) != began) continue;
    const TimeDuration taken = now.time_since_epoch() - TimeDuration(began);
    most = std::max(most, ToSeconds(taken) / ToSeconds(may_take));
  }
  return most;
}

}  // namespace pixpool
