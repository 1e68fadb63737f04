// Notices passes that hang. Internal to server/pipeline.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "server/base/clock.h"

namespace pixpool {

// What there is to do in a pass.
struct PassWork {
  int64_t pixels = 0;          // of the network's inputs
  double head_operations = 0;  // HeadOperations of what follows
};

// Keeps when each instance of a model began its pass, and how long that may take.
//
// Begin and End of an instance are called by its thread alone; the rest is thread-safe and never
// waits.
class PassWatch {
 public:
  // `patience` is what a pass over at most kLarge times `usual_pixels` may take; zero: for ever. A
  // larger one may take more in proportion, but where passes of the usual size or more have ended
  // no more than kSlack times what the slowest of them would have taken for it.
  PassWatch(int instances, TimeDuration patience, int64_t usual_pixels);

  void Begin(int instance, TimePoint now, const PassWork& work);
  void End(int instance, TimePoint now);

  // What the oldest of the passes under way has taken; zero where there is none.
  TimeDuration Oldest(TimePoint now) const;

  // The largest share of its time that a pass under way has used up; above 1 it hangs.
  double TimeUsed(TimePoint now) const;

  static constexpr double kLarge = 4;
  static constexpr double kSlack = 20;

 private:
  struct Slot {
    std::atomic<TimeDuration::rep> began{0};  // 0: none
    std::atomic<TimeDuration::rep> may_take{0};
    int64_t pixels = 0;  // of the instance's thread
  };

  TimeDuration MayTake(const PassWork& work) const;

  const TimeDuration patience_;
  const int64_t usual_pixels_;
  std::vector<Slot> slots_;
  std::atomic<double> slowest_{0};  // seconds per pixel of a finished pass; 0: none yet
};

}  // namespace pixpool
