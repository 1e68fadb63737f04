// The signals that reach the process.
#pragma once

#include <chrono>
#include <csignal>
#include <functional>

namespace pixpool {

// SIGTERM and SIGINT as something that can be waited for, and SIGHUP meanwhile. Every other signal
// that is sent to a process and would end it (SIGUSR1, SIGALRM and the like) becomes one line in
// the log, as does SIGHUP where nobody waits for it.
// SIGQUIT and SIGABRT still end it, as do the faults. All of that holds in every thread from
// construction on, which comes before any thread is made.
class StopSignal {
 public:
  StopSignal();

  // Whether SIGTERM or SIGINT came within `wait`. Calls `hangup` for each SIGHUP meanwhile.
  bool WaitFor(std::chrono::milliseconds wait, const std::function<void()>& hangup = nullptr) const;
  void Wait(const std::function<void()>& hangup = nullptr) const;

 private:
  sigset_t all_;  // SIGTERM and SIGINT, and what is ignored
};

}  // namespace pixpool
