#include "server/app/signals.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "server/base/log.h"

namespace pixpool {
namespace {

// What ends a process by default (signal(7)), but for SIGTERM and SIGINT, for SIGKILL, for what
// asks for a core (SIGQUIT, SIGABRT), and for faults. Real-time signals end it too.
constexpr int kIgnored[] = {SIGHUP,  SIGUSR1,   SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
                            SIGPOLL, SIGSTKFLT, SIGPWR,  SIGXCPU, SIGXFSZ};

// "SIGHUP", or "signal 40" of those that have no name.
std::string SignalName(int signal) {
  const char* const name = sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : std::string("SIG") + name;
}

}  // namespace

// Blocked signals stay pending until somebody waits for them, so they end nothing, and no handler
// interrupts a system call.
StopSignal::StopSignal() {
  std::signal(SIGPIPE, SIG_IGN);  // comes with every client that went away: no line in the log
  sigemptyset(&all_);
  sigaddset(&all_, SIGTERM);
  sigaddset(&all_, SIGINT);
  for (const int signal : kIgnored) sigaddset(&all_, signal);
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) sigaddset(&all_, signal);
  pthread_sigmask(SIG_BLOCK, &all_, nullptr);
}

bool StopSignal::WaitFor(std::chrono::milliseconds wait,
                         const std::function<void()>& hangup) const {
  using std::chrono::steady_clock;
  const auto end = steady_clock::now() + wait;
  for (;;) {
    const auto left = std::max(steady_clock::duration::zero(), end - steady_clock::now());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timespec t{.tv_sec = seconds.count(),
                     .tv_nsec = std::chrono::nanoseconds(left - seconds).count()};
    const int signal = sigtimedwait(&all_, nullptr, &t);
    if (signal == SIGTERM || signal == SIGINT) return true;
    if (signal == SIGHUP && hangup) {
      hangup();
    } else if (signal > 0) {
      Log(LogLevel::kWarning, "signal_ignored", {{"signal", SignalName(signal)}});
    } else if (errno == EAGAIN) {
      return false;
    }
  }
}

void StopSignal::Wait(const std::function<void()>& hangup) const {
  while (!WaitFor(std::chrono::hours(1), hangup)) {
  }
}

}  // namespace pixpool
