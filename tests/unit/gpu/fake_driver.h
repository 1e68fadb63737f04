// A driver of two GPUs that tests steer. No real one has been tried with these tests: what they
// hold is our side of its functions, as nvml.h and cuda.h declare them.
#pragma once

#include <dlfcn.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace pixpool {

struct FakeGpu {
  std::array<unsigned char, 16> uuid{};
  std::string nvml_uuid;  // with "GPU-" or "MIG-"
  std::string bus;
  unsigned long long total = 0, used = 0;
  unsigned int percent = 0, degrees = 0, milliwatts = 0;
};

// Set what is not atomic before a GPU is opened.
struct FakeDriver {
  std::vector<FakeGpu> gpus;    // as NVML counts them
  std::vector<size_t> visible;  // CUDA's number -> place in `gpus`
  bool cuda_tells_uuid = true;
  std::map<std::string, int> errors;  // function -> what it returns

  std::atomic<int> power_error = 0;  // of nvmlDeviceGetPowerUsage
  std::atomic<int> hanging = 0;      // readings that hang
  std::atomic<int> inits = 0;
  std::atomic<int> shutdowns = 0;

  // Readings hang from now on, or go on. std::atomic's waits do not reach from library to library.
  void Hang(bool whether) {
    const std::lock_guard<std::mutex> lock(mu_);
    hangs_ = whether;
    changed_.notify_all();
  }
  void WaitWhileItHangs() {
    std::unique_lock<std::mutex> lock(mu_);
    if (!hangs_) return;
    ++hanging;
    changed_.wait(lock, [this] { return !hangs_; });
    --hanging;
  }

  void Reset() {
    gpus = {{.uuid = {0xAA, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
             .nvml_uuid = "GPU-aa010203-0405-0607-0809-0a0b0c0d0e0f",
             .bus = "0000:3B:00.0",
             .total = 1'000,
             .used = 100,
             .percent = 10,
             .degrees = 40,
             .milliwatts = 70'000},
            {.uuid = {0xBB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
             .nvml_uuid = "GPU-bb010203-0405-0607-0809-0a0b0c0d0e0f",
             .bus = "0000:86:00.0",
             .total = 2'000,
             .used = 1'500,
             .percent = 93,
             .degrees = 71,
             .milliwatts = 312'500}};
    visible = {0, 1};
    cuda_tells_uuid = true;
    errors.clear();
    power_error = 0;
    inits = shutdowns = 0;
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  bool hangs_ = false;
};

// That of a library, which the code under test opens too.
inline FakeDriver& TheDriver(const char* library) {
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(dlerror());
  auto* const get = reinterpret_cast<FakeDriver* (*)()>(dlsym(handle, "TheFakeDriver"));
  if (get == nullptr) throw std::runtime_error("no TheFakeDriver");
  return *get();
}

}  // namespace pixpool
