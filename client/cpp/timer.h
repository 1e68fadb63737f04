// Time as a parameter, so that the tests of retries and waits need no sleeps.
#pragma once

#include <functional>

#include "absl/time/time.h"

namespace pixpool::client {

// Tells the time and runs things later. Implementations are thread-safe.
class Timer {
 public:
  virtual ~Timer() = default;

  virtual absl::Time Now() = 0;

  // Runs `f` once, after `delay` or a little later, on any thread. `f` must not block.
  virtual void After(absl::Duration delay, std::function<void()> f) = 0;

  // Blocks the calling thread until `delay` has passed on this timer.
  void Sleep(absl::Duration delay);

  // The real one; never destroyed.
  static Timer* Real();
};

}  // namespace pixpool::client
