#include "server/pipeline/model_runner.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"

namespace pixpool {
namespace {

constexpr absl::Duration kAgeInterval = absl::Seconds(5);

}  // namespace

ModelRunner::ModelRunner(std::shared_ptr<const LoadedModel> model, const PipelineOptions& options,
                         const std::atomic<int>* preparing, MemoryBudget* memory, Metrics* metrics,
                         const Clock* clock, Complete complete)
    : model_(std::move(model)),
      metrics_(metrics),
      clock_(clock),
      complete_(std::move(complete)),
      preparing_(preparing),
      memory_(memory),
      keeper_(memory->AddKeeper(
          {.held = [model = model_] { return model->model->HeldBytes(); },
           .drop = [model = model_](int64_t most) { model->model->DropHeld(most); }})),
      batcher_({.max_batch_size =
                    std::min(options.max_batch_size.value(), model_->model->useful_batch_size()),
                .max_delay = options.max_batch_delay.value()},
               clock, [this](ImageWork& image) { return DropIfOver(image); }) {
  for (int i = 0; i < model_->model->instance_count(); ++i) {
    threads_.emplace_back([this, i] { InstanceLoop(i); });
  }
  age_thread_ = std::thread([this] { AgeLoop(); });
}

ModelRunner::~ModelRunner() {
  {
    // Memory comes back as passes end, here and in other models' runners.
    const auto all_queued = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return reserving_ == 0; };
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&all_queued));
    closing_ = true;
  }
  batcher_.Close();
  for (std::thread& thread : threads_) thread.join();
  age_thread_.join();
  memory_->RemoveKeeper(keeper_);
}

void ModelRunner::Submit(ImageWork image) {
  const int64_t bytes = model_->model->PassBytes({image.input.width(), image.input.height()},
                                                 *image.work->result.heads);
  {
    absl::MutexLock lock(&mu_);
    ++reserving_;
  }
  memory_->Reserve(
      {.bytes = bytes,
       .over = [this,
                work = image.work] { return !work->context().Check(clock_->Now(), "memory").ok(); },
       .run =
           [this, image = std::move(image)](MemoryLease lease) mutable {
             image.memory = std::move(lease);
             Enqueue(std::move(image));
           }});
}

void ModelRunner::Enqueue(ImageWork image) {
  if (!batcher_.Submit(BatchGroup(image.slot().input), image)) {
    // Only reached when an image is submitted while the process stops.
    image.slot().status = MakeError(ErrorReason::kDraining, "the server is stopping");
    complete_(std::move(image));
  }
  absl::MutexLock lock(&mu_);
  --reserving_;
}

bool ModelRunner::DropIfOver(ImageWork& image) {
  const absl::Status status = image.work->context().Check(clock_->Now(), "batch");
  if (status.ok()) return false;
  DropImage(image, status, Stage::kBatchWait, metrics_);
  complete_(std::move(image));
  return true;
}

void ModelRunner::InstanceLoop(int instance) {
  SetThreadName(Concat("instance-", instance));
  model_->model->EnterInstanceThread(instance);
  while (auto batch = batcher_.Next()) RunBatch(instance, *std::move(batch));
}

void ModelRunner::AgeLoop() {
  SetThreadName("memory");
  absl::MutexLock lock(&mu_);
  while (!mu_.AwaitWithTimeout(absl::Condition(&closing_), kAgeInterval)) {
    mu_.Unlock();
    model_->model->AgeHeld();
    mu_.Lock();
  }
}

void ModelRunner::RunBatch(int instance, std::vector<ImageWork> batch) {
  const TimePoint start = clock_->Now();
  std::vector<ModelTask> tasks;
  tasks.reserve(batch.size());
  for (const ImageWork& image : batch) {
    StageSlot(image.slot(), Stage::kBatchWait) = start - image.ready;
    metrics_->StageTime(Stage::kBatchWait, ToSeconds(start - image.ready));
    tasks.push_back({.input = &image.input,
                     .heads = *image.work->result.heads,
                     .one_of_several = image.one_of_several()});
  }
  std::vector<ModelResult> results(batch.size());
  ModelRunTimes times;
  const int count = static_cast<int>(batch.size());
  const int running = running_.fetch_add(count) + count;
  const BatchPlace place = {.instance = instance,
                            .pictures_in_flight = running + batcher_.depth() + preparing_->load()};
  model_->model->RunBatch(place, tasks, absl::MakeSpan(results), &times);
  running_.fetch_sub(count);

  metrics_->BatchSize(count);
  metrics_->StageTime(Stage::kBackbone, ToSeconds(times.backbone));
  metrics_->StageTime(Stage::kHeads, ToSeconds(times.heads));
  std::vector<MemoryLease> leases;  // given back when all images are on their way
  for (size_t i = 0; i < batch.size(); ++i) {
    leases.push_back(std::move(batch[i].memory));
    ImageFeatures& slot = batch[i].slot();
    slot.status = std::move(results[i].status);
    slot.outputs = std::move(results[i].outputs);
    StageSlot(slot, Stage::kBackbone) = times.backbone;
    StageSlot(slot, Stage::kHeads) = times.heads;
    if (slot.status.ok()) {
      for (const HeadSpec& head : *batch[i].work->result.heads) metrics_->HeadRun(head.kind());
    }
    complete_(std::move(batch[i]));
  }
}

}  // namespace pixpool
