#include "server/isolation/decode_workers.h"

#include <sys/resource.h>

#include <cstring>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/log.h"
#include "server/base/memory_limit.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/codec.h"
#include "server/isolation/bounds.h"
#include "server/isolation/picture_message.h"

namespace pixpool {
namespace {

// Shared memory that a worker keeps from picture to picture.
constexpr size_t kKeptMemory = 16 << 20;

bool IsLimited(__rlimit_resource resource) {
  rlimit limit = {};
  return getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

absl::Status Overloaded(std::string_view what) {
  ErrorDetails details;
  details.reason = ErrorReason::kOverloaded;
  details.retry_after = absl::Seconds(1);
  return MakeError(details, Concat(what, "; try again in 1s, or another server"));
}

bool IsOutOfMemory(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  return details && details->reason == ErrorReason::kOverloaded;
}

// What the client of the picture is told.
absl::Status StatusOf(WorkerFailure failure, std::string_view detail, ImageFormat format) {
  switch (failure) {
    case WorkerFailure::kKilled:
      return Overloaded("the process that decoded it was killed, as for lack of memory");
    case WorkerFailure::kTime:
    case WorkerFailure::kMemory:
      return Undecodable(format, Concat("its decoder was ended: ", detail));
    default:
      return Undecodable(format, Concat("its decoder failed: ", detail));
  }
}

int64_t PixelsOf(const PictureLayout& layout) {
  int64_t pixels = 0;
  for (const PictureLayout::Place& place : layout.inputs) {
    pixels += int64_t{place.size.width} * place.size.height;
  }
  return pixels;
}

}  // namespace

DecodeWorkers::DecodeWorkers(DecodeWorkersSettings settings)
    : settings_(std::move(settings)),
      memory_is_limited_(IsLimited(RLIMIT_AS) || IsLimited(RLIMIT_DATA)) {}

absl::StatusOr<std::unique_ptr<DecodeWorkers>> DecodeWorkers::Start(
    DecodeWorkersSettings settings) {
  std::unique_ptr<DecodeWorkers> workers(new DecodeWorkers(std::move(settings)));
  {
    absl::MutexLock lock(&workers->mu_);  // so that Put never fails
    workers->idle_.reserve(static_cast<size_t>(workers->settings_.count));
  }
  // All load at the same time.
  std::vector<std::unique_ptr<WorkerProcess>> started;
  for (int i = 0; i < workers->settings_.count; ++i) {
    PIXPOOL_ASSIGN_OR_RETURN(started.emplace_back(), workers->StartOne());
  }
  for (auto& worker : started) {
    PIXPOOL_RETURN_IF_ERROR(worker->AwaitReady());
    workers->refusal_ = worker->refusal();
    workers->alive_.fetch_add(1);
    workers->Put(std::move(worker));
  }
  return workers;
}

absl::StatusOr<std::unique_ptr<WorkerProcess>> DecodeWorkers::StartOne() const {
  return WorkerProcess::Start(settings_.program, settings_.memory);
}

std::unique_ptr<WorkerProcess> DecodeWorkers::Take() {
  absl::MutexLock lock(&mu_);
  const auto any = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !idle_.empty(); };
  mu_.Await(absl::Condition(&any));
  // The last that worked: its memory is the warmest.
  std::unique_ptr<WorkerProcess> worker = std::move(idle_.back());
  idle_.pop_back();
  return worker;
}

void DecodeWorkers::Put(std::unique_ptr<WorkerProcess> worker) {
  absl::MutexLock lock(&mu_);
  idle_.push_back(std::move(worker));
}

absl::StatusOr<PictureInputs> DecodeWorkers::MakeInputs(const PictureTask& task,
                                                        const Clock& clock) {
  const TimePoint start = clock.Now();
  std::unique_ptr<WorkerProcess> worker = Take();
  const absl::Cleanup put = [&] {
    if (worker != nullptr && worker->busy()) {
      worker.reset();
      alive_.fetch_sub(1);
    }
    Put(std::move(worker));
  };
  PIXPOOL_ASSIGN_OR_RETURN(PictureInputs made, RunIn(&worker, task));
  // All that is not preprocessing, the way to the worker and back among it.
  made.decode_time = clock.Now() - start - made.preprocess_time;
  return made;
}

absl::StatusOr<PictureInputs> DecodeWorkers::RunIn(std::unique_ptr<WorkerProcess>* worker,
                                                   const PictureTask& task) {
  PIXPOOL_ASSIGN_OR_RETURN(const PictureLayout layout, LayOut(task));
  const WorkBounds bounds = BoundsOf(task, PixelsOf(layout), settings_.patience);
  WorkOutcome outcome;
  // A worker that died while it was idle costs no picture. That the next one does is no accident.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (*worker == nullptr) {
      PIXPOOL_ASSIGN_OR_RETURN(*worker, StartAnew());
    }
    if (!(*worker)->memory().Grow(layout.end).ok()) return NoMemoryError();
    std::memcpy((*worker)->memory().data(), task.bytes.data(), task.bytes.size());
    outcome = (*worker)->Run(WriteTask(task), bounds);
    if (!outcome.untouched) break;
    Replace(worker, *outcome.failure, outcome.detail);
  }
  const ImageFormat format = task.header.format;
  if (outcome.failure) {
    if (!outcome.untouched) Replace(worker, *outcome.failure, outcome.detail);
    return StatusOf(*outcome.failure, outcome.detail, format);
  }
  auto made = ReadReply(outcome.reply, layout, &(*worker)->memory());
  if (layout.end > kKeptMemory) (*worker)->memory().GiveBack(kKeptMemory);
  if (!made) {
    outcome.detail = "what it said is no answer";
    Replace(worker, WorkerFailure::kReply, outcome.detail);
    return StatusOf(WorkerFailure::kReply, outcome.detail, format);
  }
  if (IsOutOfMemory(made->status())) {
    outcome.detail = Concat("it wanted more than ", bounds.data_bytes >> 20, " MiB of memory");
    Replace(worker, WorkerFailure::kMemory, outcome.detail);
    if (!memory_is_limited_) return StatusOf(WorkerFailure::kMemory, outcome.detail, format);
  }
  return *std::move(made);
}

absl::StatusOr<std::unique_ptr<WorkerProcess>> DecodeWorkers::StartAnew() {
  auto worker = StartOne();
  const absl::Status ready = worker.ok() ? (*worker)->AwaitReady() : worker.status();
  if (ready.ok()) {
    alive_.fetch_add(1);
    return worker;
  }
  Note(WorkerFailure::kStart, ToStd(ready.message()));
  return Overloaded("a process to decode in could not be started");
}

void DecodeWorkers::Replace(std::unique_ptr<WorkerProcess>* worker, WorkerFailure failure,
                            std::string_view detail) {
  Note(failure, detail);
  worker->reset();
  alive_.fetch_sub(1);
  // Where it cannot be, the next picture tries again.
  if (auto next = StartAnew(); next.ok()) *worker = *std::move(next);
}

void DecodeWorkers::Note(WorkerFailure failure, std::string_view detail) const {
  Log(LogLevel::kWarning, "decode_worker_failed",
      {{"cause", WorkerFailureName(failure)}, {"message", detail}});
  if (settings_.failed) settings_.failed(failure);
}

int64_t DecodeWorkers::ResidentBytes() const {
  absl::MutexLock lock(&mu_);
  int64_t bytes = 0;
  for (const auto& worker : idle_) {
    if (worker != nullptr) bytes += ResidentBytesOfItsOwn(worker->pid());
  }
  return bytes;
}

}  // namespace pixpool
