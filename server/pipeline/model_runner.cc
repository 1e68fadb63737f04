#include "server/pipeline/model_runner.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "server/base/guarded.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/pipeline/work_times.h"

namespace pixpool {
namespace {

constexpr char kModelFailed[] = "the model failed";

// How long an instance waits for memory.
constexpr auto kMemoryPause = std::chrono::milliseconds(10);

PassWork WorkOf(const std::vector<ImageWork>& batch, const std::vector<LayerInfo>& layers) {
  PassWork work;
  for (const ImageWork& image : batch) {
    const Size input = image.input_size();
    work.pixels += int64_t{input.height} * input.width;
    work.head_operations += OperationsOfPass(*image.work, image.state(), layers, input);
  }
  return work;
}

std::vector<ModelTask> Tasks(const std::vector<ImageWork>& batch) {
  std::vector<ModelTask> tasks;
  tasks.reserve(batch.size());
  for (const ImageWork& image : batch) {
    tasks.push_back({.input = &image.input,
                     .heads = *image.work->result.heads,
                     .one_of_several = image.work->passes.size() > 1,
                     .regions = image.state().regions,
                     .pooling = image.work->region_pooling,
                     .whole = image.work->TakesInput(image.state())});
  }
  return tasks;
}

void TakeOutputs(ModelResult* result, ImageFeatures* slot) {
  slot->outputs = std::move(result->outputs);
  for (size_t r = 0; r < result->regions.size(); ++r) {
    slot->regions[r].outputs = std::move(result->regions[r]);
  }
}

// Does not keep the model: the budget may still call it while the runner ends.
MemoryBudget::Keeper KeeperOf(const std::weak_ptr<Model>& model) {
  const auto held = [model] {
    const std::shared_ptr<Model> kept = model.lock();
    return kept == nullptr ? 0 : kept->HeldBytes();
  };
  const auto drop = [model](int64_t most) {
    if (const std::shared_ptr<Model> kept = model.lock()) kept->DropHeld(most);
  };
  return {.held = held, .drop = drop};
}

constexpr auto kAgeInterval = std::chrono::seconds(5);

}  // namespace

ModelRunner::ModelRunner(const LoadedModel& model, const PipelineOptions& options,
                         const std::atomic<int>* preparing, MemoryBudget* memory, Metrics* metrics,
                         const Clock* clock, Complete complete)
    : model_(model),
      metrics_(metrics),
      clock_(clock),
      complete_(std::move(complete)),
      preparing_(preparing),
      watch_(model_.model->instance_count(), options.hang_timeout.value(),
             int64_t{model_.info().input.height} * model_.info().input.width),
      memory_(memory),
      keeper_(memory->AddKeeper(KeeperOf(model_.model))),
      batcher_({.max_batch_size =
                    std::min(options.max_batch_size.value(), model_.model->useful_batch_size()),
                .max_delay = options.max_batch_delay.value()},
               clock, [this](ImageWork& image) { return DropIfOver(image); }) {
  try {
    for (int i = 0; i < model_.model->instance_count(); ++i) {
      threads_.emplace_back([this, i] { InstanceLoop(i); });
    }
    ager_.emplace("memory", kAgeInterval, [this] {
      const absl::Status aged = Guarded("age_failed", kModelFailed, [&] {
        model_.model->AgeHeld();
        return absl::OkStatus();
      });
    });
  } catch (...) {
    Stop();
    throw;
  }
}

ModelRunner::~ModelRunner() { Stop(); }

void ModelRunner::Stop() {
  {
    // Memory comes back as passes end, here and in other models' runners.
    const auto all_queued = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return reserving_ == 0; };
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&all_queued));
  }
  batcher_.Close();
  for (std::thread& thread : threads_) thread.join();
  ager_.reset();
  memory_->RemoveKeeper(keeper_);
}

int ModelRunner::waiting() const {
  absl::MutexLock lock(&mu_);
  return reserving_ + batcher_.depth();
}

void ModelRunner::Submit(ImageWork image) {
  std::shared_ptr<ImageWork> kept;
  {
    absl::MutexLock lock(&mu_);
    ++reserving_;
  }
  const absl::Status status = Guarded("submit_failed", kModelFailed, [&] {
    // Where memory runs out further on, the image is still here to be ended.
    kept = std::make_shared<ImageWork>(std::move(image));
    memory_->Reserve(
        {.bytes = model_.model->PassBytes(kept->input_size(), *kept->work->result.heads) +
                  kept->state().region_bytes,
         .over = [this, work = kept->work] { return work->context().Over(clock_->Now()); },
         .run =
             [this, kept](MemoryLease lease) {
               kept->memory = std::move(lease);
               Enqueue(kept.get());
             }});
    return absl::OkStatus();
  });
  if (status.ok()) return;
  Fail(kept != nullptr ? kept.get() : &image, status);
}

void ModelRunner::Enqueue(ImageWork* image) {
  const absl::Status status = Guarded("submit_failed", kModelFailed, [&] {
    if (batcher_.Submit(BatchGroup(image->slot().input), *image, image->urgent)) {
      return absl::OkStatus();
    }
    // Only reached when an image is submitted while the process stops.
    return MakeError(ErrorReason::kDraining, "the server is stopping");
  });
  if (!status.ok()) return Fail(image, status);
  absl::MutexLock lock(&mu_);
  --reserving_;
}

void ModelRunner::Fail(ImageWork* image, const absl::Status& status) {
  image->slot().status = status;
  complete_(std::move(*image));
  absl::MutexLock lock(&mu_);
  --reserving_;
}

bool ModelRunner::DropIfOver(ImageWork& image) {
  const absl::Status status = Guarded("batch_failed", kModelFailed, [&] {
    return image.work->context().Check(clock_->Now(), "batch");
  });
  if (status.ok()) return false;
  DropImage(image, status, Stage::kBatchWait);
  complete_(std::move(image));
  return true;
}

void ModelRunner::InstanceLoop(int instance) {
  const auto enter = [&] {
    SetThreadName(Concat("instance-", instance));
    model_.model->EnterInstanceThread(instance);
    return absl::OkStatus();
  };
  while (absl::IsUnavailable(Guarded("instance_failed", kModelFailed, enter))) {
    std::this_thread::sleep_for(kMemoryPause);
  }
  for (;;) {
    std::optional<std::vector<ImageWork>> batch;
    const absl::Status formed = Guarded("batch_failed", kModelFailed, [&] {
      batch = batcher_.Next();
      return absl::OkStatus();
    });
    if (!formed.ok()) {
      std::this_thread::sleep_for(kMemoryPause);  // no task was taken
    } else if (batch) {
      RunBatch(instance, *std::move(batch));
    } else {
      return;
    }
  }
}

void ModelRunner::RunBatch(int instance, std::vector<ImageWork> batch) {
  const TimePoint start = clock_->Now();
  // Once more, since this thread may have slept after the batch was formed.
  std::erase_if(batch, [&](ImageWork& image) {
    const bool over = image.work->context().Over(start);
    const bool dropped = DropIfOver(image);
    if (over && !dropped) metrics_->WastedWork(Stage::kBackbone);
    return dropped;
  });
  if (batch.empty()) return;
  for (ImageWork& image : batch) {
    image.place.reset();  // the next picture may be decoded
    StageSlot(image.slot(), Stage::kBatchWait) = start - image.ready;
    model_.metrics->StageTime(Stage::kBatchWait, ToSeconds(start - image.ready));
  }
  std::vector<ModelResult> results;
  std::vector<MemoryLease> leases;  // given back when all images are on their way
  ModelRunTimes times;
  const int count = static_cast<int>(batch.size());
  const int running = running_.fetch_add(count) + count;
  const BatchPlace place = {.instance = instance,
                            .pictures_in_flight = running + batcher_.depth() + preparing_->load()};
  watch_.Begin(instance, start, WorkOf(batch, model_.info().layers));
  const absl::Status status = Guarded("batch_failed", kModelFailed, [&] {
    results.resize(batch.size());
    leases.reserve(batch.size());
    model_.model->RunBatch(place, Tasks(batch), absl::MakeSpan(results), &times);
    return absl::OkStatus();
  });
  watch_.End(instance, clock_->Now());
  running_.fetch_sub(count);

  model_.metrics->BatchSize(count);
  model_.metrics->StageTime(Stage::kBackbone, ToSeconds(times.backbone));
  model_.metrics->StageTime(Stage::kHeads, ToSeconds(times.heads));
  for (size_t i = 0; i < batch.size(); ++i) {
    if (leases.size() < leases.capacity()) leases.push_back(std::move(batch[i].memory));
    batch[i].memory.Release();
    batch[i].batch_size = count;
    ImageFeatures& slot = batch[i].slot();
    slot.status = status;
    if (status.ok()) slot.status = std::move(results[i].status);
    if (slot.status.ok()) TakeOutputs(&results[i], &slot);
    StageSlot(slot, Stage::kBackbone) = times.backbone;
    StageSlot(slot, Stage::kHeads) = times.heads;
    if (slot.status.ok()) {
      for (const HeadSpec& head : *batch[i].work->result.heads) metrics_->HeadRun(head.kind());
    }
    complete_(std::move(batch[i]));
  }
}

}  // namespace pixpool
