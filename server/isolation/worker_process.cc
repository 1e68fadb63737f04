#include "server/isolation/worker_process.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "server/base/text.h"
#include "server/base/version.h"
#include "server/isolation/channel.h"
#include "server/isolation/sanitized.h"
#include "server/isolation/spawn.h"

namespace pixpool {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

// How often a worker that has not answered is looked at.
constexpr milliseconds kLook(200);
// Loading takes some 20 ms; a machine may be busy with all else.
constexpr milliseconds kStartPatience(30'000);
// The limit is set in steps, so that it is seldom set at all.
constexpr int64_t kDataStep = 64 << 20;

// "SIGSEGV", or a number.
std::string SignalName(int signal) {
  const char* const name = sigabbrev_np(signal);
  return name == nullptr ? Concat("signal ", signal) : Concat("SIG", name);
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Start(const std::string& program,
                                                                    int64_t memory) {
  absl::StatusOr<SharedBytes> shared = SharedBytes::Make();
  if (!shared.ok()) return shared.status();
  const absl::StatusOr<SpawnedWorker> spawned = SpawnWorker(program, memory, shared->fd());
  if (!spawned.ok()) return spawned.status();
  return std::unique_ptr<WorkerProcess>(
      new WorkerProcess(spawned->pid, spawned->channel, *std::move(shared)));
}

WorkerProcess::~WorkerProcess() {
  if (pid_ > 0) Bury(std::nullopt, "");
  close(channel_);
}

absl::Status WorkerProcess::AwaitReady() {
  const timeval look = {.tv_sec = 0, .tv_usec = static_cast<suseconds_t>(kLook.count() * 1000)};
  setsockopt(channel_, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof(look));
  const auto end = steady_clock::now() + kStartPatience;
  std::string message;
  Received received = Received::kNothingYet;
  while (received == Received::kNothingYet && steady_clock::now() < end) {
    received = ReceiveMessage(channel_, &message);
  }
  Hello hello;
  if (received != Received::kMessage || message.size() != sizeof(hello)) {
    return absl::UnavailableError(
        Concat("the decode worker did not come up: ", Bury(std::nullopt, "").detail));
  }
  std::memcpy(&hello, message.data(), sizeof(hello));
  if (std::string_view(hello.version) != kVersion) {
    return absl::UnavailableError(Concat("the decode worker is of version ", hello.version,
                                         ", and the server of ", kVersion));
  }
  first_data_bytes_ = hello.data_bytes;
  if (!hello.filtered) refusal_ = hello.refusal;
  return absl::OkStatus();
}

void WorkerProcess::BoundData(int64_t bytes) {
  if (kSanitized) return;  // their shadow is beyond any bound
  const int64_t wanted = (first_data_bytes_ + bytes + kDataStep - 1) / kDataStep * kDataStep;
  if (wanted == bounded_to_) return;
  rlimit limit = {};
  if (prlimit(pid_, RLIMIT_DATA, nullptr, &limit) != 0) return;
  limit.rlim_cur = std::min(limit.rlim_max, static_cast<rlim_t>(wanted));
  if (prlimit(pid_, RLIMIT_DATA, &limit, nullptr) == 0) bounded_to_ = wanted;
}

nanoseconds WorkerProcess::CpuTime() const {
  clockid_t clock = 0;
  timespec used = {};
  if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &used) != 0) return {};
  return std::chrono::seconds(used.tv_sec) + nanoseconds(used.tv_nsec);
}

WorkOutcome WorkerProcess::Run(std::string_view message, const WorkBounds& bounds) {
  BoundData(bounds.data_bytes);
  const TaskPrefix prefix = {.memory_size = memory_.size()};
  std::string task(reinterpret_cast<const char*>(&prefix), sizeof(prefix));
  task += message;
  const nanoseconds cpu_before = CpuTime();
  const auto start = steady_clock::now();
  WorkOutcome outcome;
  busy_ = true;
  if (!SendMessage(channel_, task)) {
    outcome = Bury(std::nullopt, "");
    outcome.untouched = true;
    return outcome;
  }
  for (;;) {
    const Received received = ReceiveMessage(channel_, &outcome.reply);
    if (received == Received::kMessage) {
      busy_ = false;
      return outcome;
    }
    if (received == Received::kClosed) return Bury(std::nullopt, "");
    if (CpuTime() - cpu_before > bounds.cpu) {
      return Bury(WorkerFailure::kTime,
                  Concat("it took more than ", bounds.cpu.count(), " ms of a processor"));
    }
    if (steady_clock::now() - start > bounds.wall) {
      return Bury(WorkerFailure::kTime,
                  Concat("it did not end within ", bounds.wall.count(), " ms"));
    }
  }
}

WorkOutcome WorkerProcess::Bury(std::optional<WorkerFailure> known, std::string detail) {
  // What has died already stays what it died of.
  const bool killed_by_us = known.has_value();
  kill(pid_, SIGKILL);
  int status = 0;
  pid_t gone = 0;
  do {
    gone = waitpid(pid_, &status, 0);
  } while (gone < 0 && errno == EINTR);
  pid_ = -1;
  busy_ = false;
  if (killed_by_us) return {.failure = known, .detail = std::move(detail)};
  if (gone < 0) return {.failure = WorkerFailure::kCrash, .detail = "it is gone"};
  if (WIFEXITED(status)) {
    return {.failure = WorkerFailure::kCrash,
            .detail = Concat("it ended with code ", WEXITSTATUS(status))};
  }
  const int signal = WTERMSIG(status);
  const WorkerFailure failure = signal == SIGSYS    ? WorkerFailure::kForbiddenCall
                                : signal == SIGKILL ? WorkerFailure::kKilled
                                                    : WorkerFailure::kCrash;
  return {.failure = failure, .detail = Concat("it was ended by ", SignalName(signal))};
}

}  // namespace pixpool
