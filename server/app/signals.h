// The signals that reach the process.
#pragma once

#include <chrono>
#include <csignal>

namespace pixpool {

// SIGTERM and SIGINT as something that can be waited for. Every other signal that is sent to a
// process and would end it (SIGHUP, SIGUSR1, SIGALRM and the like) becomes one line in the log.
// SIGQUIT and SIGABRT still end it, as do the faults. All of that holds in every thread from
// construction on, which comes before any thread is made.
class StopSignal {
 public:
  StopSignal();

  // Whether SIGTERM or SIGINT came within `wait`.
  bool WaitFor(std::chrono::milliseconds wait) const;
  void Wait() const;

 private:
  sigset_t all_;  // SIGTERM and SIGINT, and what is ignored
};

}  // namespace pixpool
