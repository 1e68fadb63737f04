#include "server/rpc/unary_extract.h"

#include <utility>

#include "server/rpc/extract_convert.h"

namespace pixpool {

void UnaryExtract::Run() {
  auto request = ExtractRequestFromProto(*request_);
  if (!request_->request_id().empty() && request.ok()) {
    record_.Note("request_id", request_->request_id());
  }
  record_.Note("images", request_->images_size());
  record_.Note("heads", request_->heads_size());
  if (!request.ok()) return End(request.status());
  const auto priority = PriorityFromProto(request_->priority(), call_->priority());
  if (!priority.ok()) return End(priority.status());
  SetPriority(*priority);
  request->context = call_;
  deps().pipeline->Extract(*std::move(request), [this, keep = Keep(this)](ExtractResult result) {
    Guarded([&] { Reply(std::move(result)); });
  });
}

void UnaryExtract::Reply(ExtractResult result) {
  record_.SetModel(MetricsOf(result));
  record_.TraceStages(result);
  if (!result.status.ok()) return End(result.status);
  NoteResult(result, &record_);
  // The pictures have done their part.
  for (v1::Image& image : *request_->mutable_images()) image.clear_source();
  Permit permit = std::move(result.permit);
  EndWithReply(std::move(permit), [&](v1::ExtractFeaturesResponse* response) {
    ExtractResultToProto(*request_, std::move(result), response);
    return absl::OkStatus();
  });
}

}  // namespace pixpool
