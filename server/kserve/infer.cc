#include "server/kserve/infer.h"

#include <memory>
#include <utility>

#include "server/base/text.h"
#include "server/kserve/request.h"
#include "server/kserve/response.h"
#include "server/rpc/bidi_reactor.h"
#include "server/rpc/extract_convert.h"
#include "server/rpc/unary_reactor.h"

namespace pixpool::kserve {
namespace {

// Writes the response and counts the request. `start` is when it arrived.
absl::Status Answer(const InferDeps& deps, TimePoint start,
                    const inference::ModelInferRequest& request, ExtractResult&& result,
                    inference::ModelInferResponse* response) {
  const TimePoint done = deps.clock->Now();
  const std::shared_ptr<const LoadedModel> model = result.model;
  const StageDurations times = LongestTimes(result);
  const size_t images = result.images.size();
  absl::Status status = result.status;
  if (status.ok()) status = InferResponseFromResult(request, std::move(result), response);
  if (!status.ok()) response->Clear();
  const TimePoint end = deps.clock->Now();
  deps.metrics->StageTime(Stage::kConvert, ToSeconds(end - done));
  if (model != nullptr) {
    deps.statistics->Add(model->info(), status.ok(), times, images, end - done, end - start);
  }
  return status;
}

class UnaryInfer final
    : public UnaryReactor<inference::ModelInferRequest, inference::ModelInferResponse> {
 public:
  UnaryInfer(const InferDeps& deps, grpc::CallbackServerContext* context,
             const inference::ModelInferRequest* request, inference::ModelInferResponse* response)
      : UnaryReactor(RpcMethod::kModelInfer, deps.call, deps.pipeline, deps.metrics, deps.clock,
                     context, request, response),
        deps_(deps) {}

  void Start() {
    const TimePoint start = clock_->Now();
    auto request = ExtractRequestFromInfer(*request_, pipeline_->options());
    if (!request.ok()) return End(request.status());
    if (!request_->id().empty()) record_.Note("request_id", request_->id());
    record_.Note("images", request->images.size());
    record_.Note("heads", request->heads.size());
    request->context = call_;
    pipeline_->Extract(*std::move(request), [this, start](ExtractResult result) {
      if (result.status.ok()) NoteResult(result, &record_);
      End(Answer(deps_, start, *request_, std::move(result), response_));
    });
  }

 private:
  const InferDeps deps_;
};

struct NoSettings {};

class StreamInfer final : public BidiReactor<inference::ModelInferRequest,
                                             inference::ModelStreamInferResponse, NoSettings> {
 public:
  StreamInfer(const InferDeps& deps, grpc::CallbackServerContext* context)
      : BidiReactor({.method = RpcMethod::kModelStreamInfer,
                     .call = deps.call,
                     .in_order = true,
                     .unit = "requests"},
                    deps.metrics, deps.clock, context),
        deps_(deps) {}

 private:
  bool Takes(const inference::ModelInferRequest&, NoSettings*) override { return true; }

  void Submit(Item item) override {
    const TimePoint start = deps_.clock->Now();
    auto request = ExtractRequestFromInfer(*item.message, deps_.pipeline->options());
    if (!request.ok()) {
      ExtractResult failed;
      failed.status = request.status();
      return Answered(item.index, *item.message, start, std::move(failed));
    }
    // The message and, of pixels that had to be packed, their bytes.
    request->owner = std::make_shared<
        std::pair<std::shared_ptr<const void>, std::shared_ptr<inference::ModelInferRequest>>>(
        request->owner, item.message);
    request->context = std::move(item.call);
    deps_.pipeline->Extract(
        *std::move(request),
        [this, keep = shared_from_this(), start, index = item.index, message = item.message](
            ExtractResult result) { Answered(index, *message, start, std::move(result)); });
  }

  void Answered(int64_t index, const inference::ModelInferRequest& request, TimePoint start,
                ExtractResult result) {
    auto response = std::make_unique<inference::ModelStreamInferResponse>();
    const absl::Status status =
        Answer(deps_, start, request, std::move(result), response->mutable_infer_response());
    if (!status.ok()) {
      response->set_error_message(Concat(ReasonText(status), ": ", ToStd(status.message())));
      response->mutable_infer_response()->set_id(request.id());
    }
    Reply(index, std::move(response), !status.ok());
  }

  const InferDeps deps_;
};

}  // namespace

grpc::ServerUnaryReactor* StartInfer(const InferDeps& deps, grpc::CallbackServerContext* context,
                                     const inference::ModelInferRequest* request,
                                     inference::ModelInferResponse* response) {
  auto* call = new UnaryInfer(deps, context, request, response);
  call->Start();
  return call;
}

grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
StartStreamInfer(const InferDeps& deps, grpc::CallbackServerContext* context) {
  const auto stream = std::make_shared<StreamInfer>(deps, context);
  stream->Start();
  return stream.get();
}

}  // namespace pixpool::kserve
