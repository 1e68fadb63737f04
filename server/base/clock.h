// Time as a parameter, so that unit tests need no sleeps.
#pragma once

#include <atomic>
#include <chrono>

namespace pixpool {

using TimePoint = std::chrono::steady_clock::time_point;
using TimeDuration = std::chrono::steady_clock::duration;

// Source of the current time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;

  // The process's steady clock; never destroyed.
  static const Clock* Real();
};

// A clock that moves only when told to. Thread-safe.
class FakeClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(TimeDuration(ticks_.load())); }
  void Advance(TimeDuration d) { ticks_.fetch_add(d.count()); }

 private:
  std::atomic<TimeDuration::rep> ticks_{std::chrono::hours(1) / TimeDuration(1)};
};

// `d` in seconds, for metrics and logs.
inline double ToSeconds(TimeDuration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace pixpool
