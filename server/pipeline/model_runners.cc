#include "server/pipeline/model_runners.h"

#include <chrono>
#include <utility>

#include "absl/time/time.h"
#include "server/base/guarded.h"
#include "server/base/text.h"

namespace pixpool {

void ModelRunners::Submit(ImageWork pass) {
  pass.ready = clock_->Now();
  ModelRunner* runner = nullptr;
  const absl::Status found = Guarded("submit_failed", "the image could not be processed", [&] {
    runner = Of(*pass.work->result.model);
    return absl::OkStatus();
  });
  if (found.ok()) return runner->Submit(std::move(pass));
  pass.slot().status = found;
  complete_(std::move(pass));
}

ModelRunner* ModelRunners::Of(const LoadedModel& model) {
  absl::MutexLock lock(&mu_);
  const auto found = runners_.find(model.model.get());
  if (found != runners_.end()) return found->second.get();
  auto runner = std::make_unique<ModelRunner>(model, options_, preparing_, memory_, metrics_,
                                              clock_, complete_);
  return runners_.emplace(model.model.get(), std::move(runner)).first->second.get();
}

absl::Status ModelRunners::Progress(double times) const {
  const TimePoint now = clock_->Now();
  absl::MutexLock lock(&mu_);
  for (const auto& [model, runner] : runners_) {
    if (runner->watch().TimeUsed(now) <= times) continue;
    const auto taken =
        std::chrono::duration_cast<std::chrono::milliseconds>(runner->watch().Oldest(now));
    return absl::UnavailableError(Concat("a pass of model ", model->info().name, " has taken ",
                                         absl::FormatDuration(absl::FromChrono(taken))));
  }
  return absl::OkStatus();
}

std::map<const Model*, ModelRunners::State> ModelRunners::States(TimePoint now) const {
  std::map<const Model*, State> states;
  absl::MutexLock lock(&mu_);
  for (const auto& [model, runner] : runners_) {
    states[model] = {.metrics = runner->model().metrics,
                     .waiting = runner->waiting(),
                     .threads = runner->thread_count(),
                     .oldest_pass = runner->watch().Oldest(now)};
  }
  return states;
}

void ModelRunners::End(const Model* model) {
  std::unique_ptr<ModelRunner> runner;  // destroyed without the lock
  absl::MutexLock lock(&mu_);
  const auto found = runners_.find(model);
  if (found == runners_.end()) return;
  runner = std::move(found->second);
  runners_.erase(found);
}

void ModelRunners::Stop() {
  absl::MutexLock lock(&mu_);
  runners_.clear();
}

}  // namespace pixpool
