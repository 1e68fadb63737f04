#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

namespace pixpool {

// Calls a function at once and then again and again, with a pause between, on a thread of its own.
// Pauses are of the steady clock, so that a jump of the wall clock neither stalls nor hurries it,
// which absl's timed waits do. The destructor ends a pause, waits for a call under way, and joins.
class Ticker {
 public:
  // `name` is the thread's. `tick` must not throw. Throws std::system_error where there is no
  // descriptor or no thread for it.
  Ticker(const std::string& name, std::chrono::milliseconds pause, std::function<void()> tick);
  ~Ticker();

  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  const int stop_;  // an eventfd, readable once the thread is to end
  std::thread thread_;
};

}  // namespace pixpool
