#include "server/gpu/gpu_watch.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "server/base/guarded.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/gpu/cuda_number.h"
#include "server/gpu/nvml.h"

namespace pixpool {
namespace {

constexpr std::chrono::seconds kMostAge(10);
constexpr std::chrono::seconds kLastPatience(1);
constexpr char kCuda[] = "cuda:";
// After how many pauses a driver that could not be opened is tried again.
constexpr int kPausesToRetry = 60;

}  // namespace

struct GpuWatch::State {
  const GpuWatchOptions options;
  const std::string device = Concat(kCuda, options.number);

  std::mutex mu;
  std::condition_variable changed;
  // Guarded by mu.
  bool stopping = false;
  bool ended = false;
  std::optional<GpuReadings> last;
  TimePoint answered = options.clock->Now();  // of the driver, with or without an error
  bool silent = false;                        // what the log says
};

GpuWatch::GpuWatch(GpuWatchOptions options)
    : state_(new State{.options = std::move(options)}), thread_([state = state_] { Run(state); }) {}

GpuWatch::~GpuWatch() {
  std::unique_lock<std::mutex> lock(state_->mu);
  state_->stopping = true;
  state_->changed.notify_all();
  const bool ended =
      state_->changed.wait_for(lock, kLastPatience, [this] { return state_->ended; });
  lock.unlock();
  ended ? thread_.join() : thread_.detach();
}

std::vector<GpuReadings> GpuWatch::Read() const {
  const TimePoint now = state_->options.clock->Now();
  std::vector<GpuReadings> all;
  bool silent = false;
  bool was_silent = false;
  {
    const std::lock_guard<std::mutex> lock(state_->mu);
    silent = now - state_->answered > kMostAge;
    was_silent = std::exchange(state_->silent, silent);
    if (!silent && state_->last) all.push_back(*state_->last);
  }
  if (silent && !was_silent) {
    Log(LogLevel::kWarning, "gpu_silent",
        {{"device", state_->device},
         {"message", "the driver does not answer; there are no metrics of the GPU"}});
  } else if (was_silent && !silent) {
    Log(LogLevel::kInfo, "gpu_answers", {{"device", state_->device}});
  }
  return all;
}

void GpuWatch::Run(const std::shared_ptr<State>& state) {
  SetThreadName("gpu");
  const GpuWatchOptions& options = state->options;
  std::unique_ptr<Nvml> nvml;
  std::string told;  // the error that the log has
  for (int turn = 0;; ++turn) {
    std::optional<GpuReadings> now;
    absl::Status status = absl::UnavailableError(told);
    if (nvml != nullptr || turn % kPausesToRetry == 0) {
      status = Guarded("gpu_failed", "its readings were lost", [&]() -> absl::Status {
        if (nvml == nullptr) {
          PIXPOOL_ASSIGN_OR_RETURN(const GpuIdentity gpu,
                                   IdentifyGpu(options.cuda_library, options.number));
          PIXPOOL_ASSIGN_OR_RETURN(nvml, Nvml::Open(options.nvml_library, gpu));
        }
        now.emplace().device = state->device;
        return nvml->Read(&*now);
      });
    }
    std::unique_lock<std::mutex> lock(state->mu);
    if (!state->stopping) {
      state->last = std::move(now);
      state->answered = options.clock->Now();
      if (const std::string error(status.message()); error != told) {
        told = error;
        lock.unlock();
        if (told.empty()) {
          Log(LogLevel::kInfo, "gpu_seen_again", {{"device", state->device}});
        } else {
          Log(LogLevel::kWarning, "gpu_unseen",
              {{"device", state->device},
               {"message", Concat(told, "; metrics of the GPU are missing")}});
        }
        lock.lock();
      }
      state->changed.wait_for(lock, options.pause, [&] { return state->stopping; });
    }
    if (!state->stopping) continue;
    lock.unlock();
    nvml.reset();
    lock.lock();
    state->ended = true;
    state->changed.notify_all();
    return;
  }
}

std::unique_ptr<GpuWatch> WatchGpu(const std::string& device) {
  int number = 0;
  const std::string_view text = device;
  if (!text.starts_with(kCuda) ||
      !absl::SimpleAtoi(ToAbsl(text.substr(sizeof(kCuda) - 1)), &number)) {
    return nullptr;
  }
  return std::make_unique<GpuWatch>(GpuWatchOptions{.number = number});
}

}  // namespace pixpool
