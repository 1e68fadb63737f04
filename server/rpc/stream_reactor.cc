#include "server/rpc/stream_reactor.h"

#include <memory>
#include <utility>

#include "server/rpc/bidi_reactor.h"
#include "server/rpc/extract_convert.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

class StreamReactor final
    : public BidiReactor<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse, v1::StreamConfig> {
 public:
  StreamReactor(const CallOptions& options, Pipeline* pipeline, Metrics* metrics,
                const Clock* clock, grpc::CallbackServerContext* context)
      : BidiReactor({.method = RpcMethod::kStreamFeatures, .call = options, .unit = "images"},
                    metrics, clock, context),
        pipeline_(pipeline) {}

 private:
  bool Takes(const v1::StreamFeaturesRequest& message, v1::StreamConfig* config) override {
    if (message.has_config()) *config = message.config();
    return message.has_image();
  }

  void Submit(Item item) override {
    const std::string& id = item.message->image().image_id();
    auto request = StreamRequestFromProto(item.settings, item.message->image());
    if (!request.ok()) {
      ExtractResult failed;
      failed.status = request.status();
      return Answer(item.index, id, std::move(failed));
    }
    request->owner = item.message;
    request->context = std::move(item.call);
    pipeline_->Extract(*std::move(request),
                       [this, keep = shared_from_this(), index = item.index,
                        id](ExtractResult result) { Answer(index, id, std::move(result)); });
  }

  void Answer(int64_t index, const std::string& image_id, ExtractResult result) {
    auto response = std::make_unique<v1::StreamFeaturesResponse>();
    v1::ImageResult* out = response->mutable_result();
    out->set_image_id(image_id);
    out->set_index(index);
    bool failed = true;
    if (!result.status.ok()) {
      *out->mutable_status() = ToRpcStatus(result.status);
    } else {
      failed = !result.images[0].status.ok();
      ModelReferenceToProto(result.model->info(), response->mutable_model());
      ImageResultToProto(result, std::move(result.images[0]), out);
    }
    Reply(index, std::move(response), failed);
  }

  Pipeline* const pipeline_;
};

}  // namespace

grpc::ServerBidiReactor<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>* StartStream(
    const CallOptions& options, Pipeline* pipeline, Metrics* metrics, const Clock* clock,
    grpc::CallbackServerContext* context) {
  const auto stream = std::make_shared<StreamReactor>(options, pipeline, metrics, clock, context);
  stream->Start();
  return stream.get();
}

}  // namespace pixpool
