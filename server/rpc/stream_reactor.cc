#include "server/rpc/stream_reactor.h"

#include <memory>
#include <utility>

#include "pixpool/v1/feature_service.pb.h"
#include "server/base/status_macros.h"
#include "server/rpc/bidi_reactor.h"
#include "server/rpc/extract_convert.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

// A stream holds its settings for as long as it lives, at work or idle, so they are counted.
struct StreamSettings {
  v1::StreamConfig config;
  ByteHold hold;
};

class StreamReactor final : public BidiReactor<v1::StreamFeaturesRequest, StreamSettings> {
 public:
  StreamReactor(const CallDeps& deps, grpc::CallbackServerContext* context)
      : BidiReactor({.method = RpcMethod::kStreamFeatures, .unit = "images"}, deps, context) {}

 private:
  absl::StatusOr<bool> Takes(v1::StreamFeaturesRequest* message,
                             std::shared_ptr<const StreamSettings>* settings) override {
    if (message->has_config()) {
      auto taken = std::make_shared<StreamSettings>();
      taken->config.Swap(message->mutable_config());
      PIXPOOL_ASSIGN_OR_RETURN(
          taken->hold,
          HoldKept(deps(), holder(), static_cast<int64_t>(taken->config.SpaceUsedLong())));
      *settings = std::move(taken);
    }
    return message->has_image();
  }

  void Submit(Item item) override {
    const std::string& id = item.message->image().image_id();
    auto request = RequestOf(item);
    if (!request.ok()) {
      ExtractResult failed;
      failed.status = request.status();
      return Answer(item.index, id, std::move(failed));
    }
    deps().pipeline->Extract(*std::move(request), [this, keep = shared_from_this(),
                                                   index = item.index, id](ExtractResult result) {
      Guarded([&] { Answer(index, id, std::move(result)); }, index);
    });
  }

  static absl::StatusOr<ExtractRequest> RequestOf(const Item& item) {
    PIXPOOL_ASSIGN_OR_RETURN(ExtractRequest request,
                             StreamRequestFromProto(item.settings->config, item.message->image()));
    PIXPOOL_ASSIGN_OR_RETURN(
        const Priority priority,
        PriorityFromProto(item.settings->config.priority(), item.call->priority()));
    item.call->set_priority(priority);
    request.owner = item.message;
    request.context = item.call;
    return request;
  }

  void Answer(int64_t index, const std::string& image_id, ExtractResult result) {
    Permit permit = std::move(result.permit);
    std::shared_ptr<ModelMetrics> model = MetricsOf(result);
    bool failed = true;
    grpc::ByteBuffer bytes;
    {
      v1::StreamFeaturesResponse response;
      v1::ImageResult* out = response.mutable_result();
      out->set_image_id(image_id);
      out->set_index(index);
      if (!result.status.ok()) {
        *out->mutable_status() = ToRpcStatus(result.status);
      } else {
        failed = !result.images[0].status.ok();
        ModelReferenceToProto(result.model->info(), response.mutable_model());
        ImageResultToProto(result, std::move(result.images[0]), out);
      }
      bytes = SerializeMessage(response);
    }
    Reply(index, bytes, std::move(permit), failed, std::move(model));
  }
};

}  // namespace

grpc::ServerGenericBidiReactor* StartStream(const CallDeps& deps,
                                            grpc::CallbackServerContext* context) {
  const auto stream = std::make_shared<StreamReactor>(deps, context);
  stream->Start();
  return stream.get();
}

}  // namespace pixpool
