#include "server/rpc/unary_extract.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "server/rpc/extract_convert.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

class UnaryExtract final : public grpc::ServerUnaryReactor {
 public:
  UnaryExtract(const CallOptions& options, Engine* engine, Metrics* metrics, const Clock* clock,
               grpc::CallbackServerContext* context, const v1::ExtractFeaturesRequest* request,
               v1::ExtractFeaturesResponse* response)
      : engine_(engine),
        metrics_(metrics),
        clock_(clock),
        context_(context),
        request_(request),
        response_(response),
        call_(std::make_shared<CallContext>(CallDeadline(
            context->deadline(), std::chrono::system_clock::now(), clock->Now(), options))),
        record_(RpcMethod::kExtractFeatures, context->peer(), metrics, clock) {}

  void Start() {
    auto request = ExtractRequestFromProto(*request_);
    if (!request_->request_id().empty() && request.ok()) {
      record_.Note("request_id", request_->request_id());
    }
    record_.Note("images", request_->images_size());
    record_.Note("heads", request_->heads_size());
    if (!request.ok()) return End(request.status());
    request->context = call_;
    engine_->Extract(*std::move(request),
                     [this](ExtractResult result) { Reply(std::move(result)); });
  }

  void OnCancel() override { call_->Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Reply(ExtractResult result) {
    if (!result.status.ok()) return End(result.status);
    const TimePoint start = clock_->Now();
    NoteResult(result);
    ExtractResultToProto(*request_, std::move(result), response_);
    metrics_->StageTime(Stage::kConvert, ToSeconds(clock_->Now() - start));
    End(absl::OkStatus());
  }

  void NoteResult(const ExtractResult& result) {
    int64_t failed = 0;
    for (const ImageFeatures& image : result.images) failed += image.status.ok() ? 0 : 1;
    record_.Note("failed_images", failed);
    record_.Note("model", result.model->info().name);
    const StageDurations times = LongestTimes(result);
    for (int s = 0; s < static_cast<int>(Stage::kConvert); ++s) {
      record_.Note(std::string(StageName(static_cast<Stage>(s))) + "_seconds",
                   ToSeconds(times[static_cast<size_t>(s)]));
    }
  }

  // The last thing done to this object: gRPC may delete it before Finish returns.
  void End(const absl::Status& status) {
    AddPushback(status, context_);
    record_.End(status);
    Finish(ToGrpcStatus(status));
  }

  Engine* const engine_;
  Metrics* const metrics_;
  const Clock* const clock_;
  grpc::CallbackServerContext* const context_;
  const v1::ExtractFeaturesRequest* const request_;
  v1::ExtractFeaturesResponse* const response_;
  const std::shared_ptr<CallContext> call_;
  CallRecord record_;
};

}  // namespace

grpc::ServerUnaryReactor* StartUnaryExtract(const CallOptions& options, Engine* engine,
                                            Metrics* metrics, const Clock* clock,
                                            grpc::CallbackServerContext* context,
                                            const v1::ExtractFeaturesRequest* request,
                                            v1::ExtractFeaturesResponse* response) {
  auto* call = new UnaryExtract(options, engine, metrics, clock, context, request, response);
  call->Start();
  return call;
}

}  // namespace pixpool
