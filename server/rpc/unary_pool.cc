#include "server/rpc/unary_pool.h"

#include <utility>

#include "server/base/status_macros.h"
#include "server/rpc/head_convert.h"

namespace pixpool {
namespace {

// The native form of a request; views into it.
absl::StatusOr<PoolRequest> PoolRequestFromProto(const v1::PoolTensorRequest& request) {
  PoolRequest out;
  PIXPOOL_ASSIGN_OR_RETURN(out.heads, HeadsFromProto(request.heads()));
  const auto& tensor = request.tensor();
  out.shape.assign(tensor.shape().begin(), tensor.shape().end());
  out.values = {tensor.values().data(), static_cast<size_t>(tensor.values_size())};
  out.indices = {request.indices().data(), static_cast<size_t>(request.indices_size())};
  return out;
}

void PoolResultToProto(PoolResult&& result, v1::PoolTensorResponse* out) {
  for (std::vector<HeadOutput>& map : result.maps) {
    v1::PooledMap* pooled = out->add_results();
    for (size_t h = 0; h < map.size(); ++h) {
      HeadOutputToProto(result.heads[h], /*labels=*/{}, std::move(map[h]),
                        pooled->add_head_results());
    }
  }
}

}  // namespace

void UnaryPool::Run() {
  auto request = PoolRequestFromProto(*request_);
  record_.Note("heads", request_->heads_size());
  record_.Note("values", request_->tensor().values_size());
  if (!request.ok()) return End(request.status());
  const auto priority = PriorityFromProto(request_->priority(), call_->priority());
  if (!priority.ok()) return End(priority.status());
  SetPriority(*priority);
  request->context = call_;
  deps().pipeline->Pool(*std::move(request), [this, keep = Keep(this)](PoolResult result) {
    Guarded([&] { Reply(std::move(result)); });
  });
}

void UnaryPool::Reply(PoolResult result) {
  const TimePoint begun = result.admitted + result.queue;
  if (result.queue > TimeDuration{}) record_.TraceStage(Stage::kQueue, result.admitted, begun);
  if (result.heads_time > TimeDuration{}) {
    record_.TraceStage(Stage::kHeads, begun, begun + result.heads_time);
  }
  if (!result.status.ok()) return End(result.status);
  request_.reset();
  Permit permit = std::move(result.permit);
  EndWithReply(std::move(permit), [&](v1::PoolTensorResponse* response) {
    PoolResultToProto(std::move(result), response);
    return absl::OkStatus();
  });
}

}  // namespace pixpool
