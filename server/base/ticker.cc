#include "server/base/ticker.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

#include "server/base/thread_pool.h"

namespace pixpool {
namespace {

int MakeEvent() {
  const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return event;
}

// Whether the event came within the pause.
bool WaitFor(int event, std::chrono::milliseconds pause) {
  pollfd wanted = {.fd = event, .events = POLLIN, .revents = 0};
  const auto end = std::chrono::steady_clock::now() + pause;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const auto most = std::chrono::milliseconds(INT_MAX);
    const int ready = poll(
        &wanted, 1, static_cast<int>(std::clamp(left, std::chrono::milliseconds(0), most).count()));
    if (ready > 0) return true;
    if (ready == 0 && std::chrono::steady_clock::now() >= end) return false;
  }
}

}  // namespace

Ticker::Ticker(const std::string& name, std::chrono::milliseconds pause, std::function<void()> tick)
    : stop_(MakeEvent()) {
  try {
    thread_ = std::thread([stop = stop_, name, pause, tick = std::move(tick)] {
      SetThreadName(name);
      do {
        tick();
      } while (!WaitFor(stop, pause));
    });
  } catch (...) {
    close(stop_);
    throw;
  }
}

Ticker::~Ticker() {
  // An event that was never written to takes any number.
  eventfd_write(stop_, 1);
  thread_.join();
  close(stop_);
}

}  // namespace pixpool
