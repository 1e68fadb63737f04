#include "server/pipeline/tensor_pooler.h"

#include <utility>
#include <vector>

#include "server/base/guarded.h"
#include "server/base/status_macros.h"
#include "server/heads/pool_tensor.h"
#include "server/pipeline/plan_tensor.h"
#include "server/pipeline/work.h"

namespace pixpool {
namespace {

constexpr char kFailed[] = "the tensor could not be pooled";

MapsView Maps(const PoolRequest& request) {
  const std::vector<int64_t>& shape = request.shape;
  return {.values = request.values,
          .n = shape[0],
          .c = shape[1],
          .h = shape[2],
          .w = shape[3],
          .indices = request.indices};
}

}  // namespace

// One admitted tensor.
struct TensorPooler::Work {
  PoolRequest request;
  PoolDone done;
  PoolResult result;
  TimePoint admitted;
  AdmissionCost cost;
  double values = 0;  // that come, go and are read
};

void TensorPooler::Pool(PoolRequest request, PoolDone done) {
  std::shared_ptr<Work> work;
  absl::Status status = Guarded("pool_failed", kFailed, [&] {
    work = std::make_shared<Work>();
    work->request = std::move(request);
    return Admit(work.get());
  });
  if (!status.ok()) {
    PoolResult refused;
    refused.status = std::move(status);
    return done(std::move(refused));
  }
  work->done = std::move(done);
  const absl::Status queued = Guarded("pool_failed", kFailed, [&] {
    const CallContext& call = *work->request.context;
    WorkQueue::Entry entry = {.lane = this,
                              .priority = call.priority(),
                              .caller = call.caller(),
                              .seconds = work->cost.seconds,
                              .since = work->admitted};
    if (entry.seconds >= kLongSeconds) entry.crew = {queue_, options_.decode_threads};
    entry.over = [this, work] { return work->request.context->Over(clock_->Now()); };
    entry.work = [this, work](const WorkQueue::Turn&) {
      Finish(work.get(), Guarded("pool_failed", kFailed, [&] { return Compute(work.get()); }));
    };
    queue_->Push(std::move(entry));
    return absl::OkStatus();
  });
  if (!queued.ok()) Finish(work.get(), queued);
}

void TensorPooler::Finish(Work* work, absl::Status status) {
  admission_->Done(*work->request.context, work->cost.seconds, !WasDropped(status),
                   queue_->images());
  if (!status.ok()) work->result.maps.clear();
  work->result.status = std::move(status);
  // Here and not on the reply pool: handing the work to another thread costs as much as either half
  // of it.
  Guarded("done_failed", kFailed, [&] {
    work->done(std::move(work->result));
    return absl::OkStatus();
  }).IgnoreError();
}

absl::Status TensorPooler::Admit(Work* work) {
  PIXPOOL_RETURN_IF_ERROR(work->request.context->Check(clock_->Now(), "admission"));
  AdmissionCost& cost = work->cost;
  PIXPOOL_ASSIGN_OR_RETURN(work->result.heads, PlanTensor(options_, work->request, &cost));
  const std::vector<int64_t>& shape = work->request.shape;
  work->values = static_cast<double>(cost.bytes) / sizeof(float);
  for (const HeadSpec& head : work->result.heads) {
    work->values +=
        static_cast<double>(shape[0]) * HeadOperations(head, shape[1], shape[2], shape[3]);
  }
  cost.seconds = times_->PredictPooling(work->values);
  PIXPOOL_ASSIGN_OR_RETURN(work->result.permit,
                           AcquirePermit(admission_, metrics_, cost, *work->request.context));
  work->result.admitted = work->admitted = clock_->Now();
  return absl::OkStatus();
}

absl::Status TensorPooler::Compute(Work* work) {
  const PoolRequest& request = work->request;
  const TimePoint start = clock_->Now();
  work->result.queue = start - work->admitted;
  metrics_->no_model().StageTime(Stage::kQueue, ToSeconds(work->result.queue));
  if (absl::Status status = request.context->Check(start, "heads"); !status.ok()) {
    metrics_->no_model().Cancelled(Stage::kHeads, CancelReason(status));
    return status;
  }
  PIXPOOL_ASSIGN_OR_RETURN(work->result.maps, PoolMaps(work->result.heads, Maps(request)));
  work->result.heads_time = clock_->Now() - start;
  const double seconds = ToSeconds(work->result.heads_time);
  metrics_->no_model().StageTime(Stage::kHeads, seconds);
  times_->Pooled(work->values, seconds);
  for (const HeadSpec& head : work->result.heads) metrics_->HeadRun(head.kind());
  return absl::OkStatus();
}

}  // namespace pixpool
