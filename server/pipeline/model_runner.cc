#include "server/pipeline/model_runner.h"

#include <algorithm>
#include <utility>

#include "server/base/text.h"
#include "server/base/thread_pool.h"

namespace pixpool {

ModelRunner::ModelRunner(std::shared_ptr<const LoadedModel> model, const PipelineOptions& options,
                         const std::atomic<int>* preparing, Metrics* metrics, const Clock* clock,
                         Complete complete)
    : model_(std::move(model)),
      metrics_(metrics),
      clock_(clock),
      complete_(std::move(complete)),
      preparing_(preparing),
      batcher_({.max_batch_size =
                    std::min(options.max_batch_size.value(), model_->model->useful_batch_size()),
                .max_delay = options.max_batch_delay.value()},
               clock, [this](ImageWork& image) { return DropIfOver(image); }) {
  for (int i = 0; i < model_->model->instance_count(); ++i) {
    threads_.emplace_back([this, i] { InstanceLoop(i); });
  }
}

ModelRunner::~ModelRunner() {
  batcher_.Close();
  for (std::thread& thread : threads_) thread.join();
}

void ModelRunner::Submit(ImageWork image) {
  if (batcher_.Submit(BatchGroup(image.slot().input), image, image.urgent)) return;
  // Only reached when an image is submitted while the process stops.
  image.slot().status = MakeError(ErrorReason::kDraining, "the server is stopping");
  complete_(std::move(image));
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

void ModelRunner::RunBatch(int instance, std::vector<ImageWork> batch) {
  const TimePoint start = clock_->Now();
  std::vector<ModelTask> tasks;
  tasks.reserve(batch.size());
  for (ImageWork& image : batch) {
    image.place.reset();  // the next picture may be decoded
    // Between the check when the batch was formed and now.
    if (!image.work->context().Check(start, "backbone").ok()) {
      metrics_->WastedWork(Stage::kBackbone);
    }
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
  for (size_t i = 0; i < batch.size(); ++i) {
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
