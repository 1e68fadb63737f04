// How the GPU is that models run on: its memory, its use.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/base/clock.h"
#include "server/metrics/metrics.h"

namespace pixpool {

struct GpuWatchOptions {
  int number = 0;  // as CUDA counts the GPUs that this process may use
  std::chrono::milliseconds pause{1'000};
  const Clock* clock = Clock::Real();
  // Of the driver. Those of machines without one are not there.
  std::string cuda_library = "libcuda.so.1";
  std::string nvml_library = "libnvidia-ml.so.1";
};

// Asks the driver again and again, on a thread of its own, since a driver may be slow, or hang:
// then there are no readings, and nothing else waits. The log says when that begins and when it
// ends.
//
// Thread-safe. The destructor waits a second for the driver, and then leaves the thread to it.
class GpuWatch {
 public:
  // The clock must not be destroyed before the thread has ended. Throws std::system_error where
  // there is no thread.
  explicit GpuWatch(GpuWatchOptions options);
  ~GpuWatch();
  GpuWatch(const GpuWatch&) = delete;
  GpuWatch& operator=(const GpuWatch&) = delete;

  // What was read last, of one GPU or, where that is over ten seconds ago, of none. Asks nobody.
  std::vector<GpuReadings> Read() const;

 private:
  struct State;
  static void Run(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;  // the thread's too
  std::thread thread_;
};

// null where `device` is no "cuda:N".
std::unique_ptr<GpuWatch> WatchGpu(const std::string& device);

}  // namespace pixpool
