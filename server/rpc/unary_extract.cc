#include "server/rpc/unary_extract.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "server/rpc/extract_convert.h"
#include "server/rpc/unary_reactor.h"

namespace pixpool {
namespace {

class UnaryExtract final
    : public UnaryReactor<v1::ExtractFeaturesRequest, v1::ExtractFeaturesResponse> {
 public:
  using UnaryReactor::UnaryReactor;

  void Start() {
    auto request = ExtractRequestFromProto(*request_);
    if (!request_->request_id().empty() && request.ok()) {
      record_.Note("request_id", request_->request_id());
    }
    record_.Note("images", request_->images_size());
    record_.Note("heads", request_->heads_size());
    if (!request.ok()) return End(request.status());
    request->context = call_;
    engine_->Extract(*std::move(request), [this](ExtractResult result) {
      if (!result.status.ok()) return End(result.status);
      NoteResult(result);
      EndWithReply([&] { ExtractResultToProto(*request_, std::move(result), response_); });
    });
  }

 private:
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
};

}  // namespace

grpc::ServerUnaryReactor* StartUnaryExtract(const CallOptions& options, Engine* engine,
                                            Metrics* metrics, const Clock* clock,
                                            grpc::CallbackServerContext* context,
                                            const v1::ExtractFeaturesRequest* request,
                                            v1::ExtractFeaturesResponse* response) {
  auto* call = new UnaryExtract(RpcMethod::kExtractFeatures, options, engine, metrics, clock,
                                context, request, response);
  call->Start();
  return call;
}

}  // namespace pixpool
