#include "server/pipeline/tensor_pooler.h"

#include <exception>
#include <utility>
#include <vector>

#include "server/base/error.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/heads/pool_tensor.h"
#include "server/pipeline/plan_tensor.h"
#include "server/pipeline/work.h"

namespace pixpool {
namespace {

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
};

void TensorPooler::Pool(PoolRequest request, PoolDone done) {
  auto work = std::make_shared<Work>();
  work->request = std::move(request);
  work->done = std::move(done);
  if (absl::Status status = Admit(work.get()); !status.ok()) {
    return work->done({.status = std::move(status)});
  }
  const CallContext& call = *work->request.context;
  const auto compute = [this, work](const WorkQueue::Turn&) {
    work->result.status = Compute(work.get());
    admission_->Done(*work->request.context, work->cost.seconds, !WasDropped(work->result.status),
                     queue_->depth());
    // Here and not on the reply pool: handing the work to another thread costs as much as either
    // half of it.
    work->done(std::move(work->result));
  };
  queue_->Push(
      {.lane = this, .priority = call.priority(), .caller = call.caller(), .work = compute});
}

absl::Status TensorPooler::Admit(Work* work) {
  PIXPOOL_RETURN_IF_ERROR(work->request.context->Check(clock_->Now(), "admission"));
  AdmissionCost& cost = work->cost;
  PIXPOOL_ASSIGN_OR_RETURN(work->result.heads, PlanTensor(options_, work->request, &cost));
  cost.seconds = times_->Predict(this, cost.bytes);
  PIXPOOL_ASSIGN_OR_RETURN(work->result.permit,
                           AcquirePermit(admission_, metrics_, cost, *work->request.context));
  work->admitted = clock_->Now();
  return absl::OkStatus();
}

absl::Status TensorPooler::Compute(Work* work) {
  const PoolRequest& request = work->request;
  const TimePoint start = clock_->Now();
  metrics_->StageTime(Stage::kQueue, ToSeconds(start - work->admitted));
  if (absl::Status status = request.context->Check(start, "heads"); !status.ok()) {
    metrics_->Cancelled(Stage::kHeads, CancelReason(status));
    return status;
  }
  try {
    PIXPOOL_ASSIGN_OR_RETURN(work->result.maps, PoolMaps(work->result.heads, Maps(request)));
  } catch (const std::exception& e) {
    Log(LogLevel::kError, "pool_failed", {{"what", e.what()}});
    return MakeError(ErrorReason::kInferenceFailed, "the tensor could not be pooled");
  }
  const double seconds = ToSeconds(clock_->Now() - start);
  metrics_->StageTime(Stage::kHeads, seconds);
  times_->Observe(this, work->cost.bytes, seconds);
  for (const HeadSpec& head : work->result.heads) metrics_->HeadRun(head.kind());
  return absl::OkStatus();
}

}  // namespace pixpool
