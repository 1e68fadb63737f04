#include "server/kserve/infer.h"

#include <memory>
#include <utility>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/kserve/parameters.h"
#include "server/kserve/request.h"
#include "server/kserve/response.h"
#include "server/rpc/bidi_reactor.h"
#include "server/rpc/extract_convert.h"

namespace pixpool::kserve {
namespace {

using inference::ModelInferRequest;

// What a request is to the pipeline. `call` gets its priority.
absl::StatusOr<ExtractRequest> RequestOf(const ModelInferRequest& message, const CallDeps& deps,
                                         const std::shared_ptr<CallContext>& call) {
  PIXPOOL_ASSIGN_OR_RETURN(ExtractRequest request,
                           ExtractRequestFromInfer(message, deps.pipeline->options()));
  PIXPOOL_ASSIGN_OR_RETURN(const Priority priority,
                           PriorityFromParameters(message, call->priority()));
  call->set_priority(priority);
  request.context = call;
  return request;
}

// Frees the images, which have done their part.
void DropImages(ModelInferRequest* request) {
  request->clear_raw_input_contents();
  request->clear_inputs();
}

// Writes the response and counts the request. `start` is when it arrived.
absl::Status WriteAnswer(const CallDeps& deps, Statistics* statistics, TimePoint start,
                         const ModelInferRequest& request, ExtractResult&& result,
                         inference::ModelInferResponse* response) {
  const TimePoint done = deps.clock->Now();
  const std::shared_ptr<const LoadedModel> model = result.model;
  const StageDurations times = LongestTimes(result);
  const size_t images = result.images.size();
  absl::Status status = result.status;
  if (status.ok()) status = InferResponseFromResult(request, std::move(result), response);
  if (!status.ok()) response->Clear();
  const TimePoint end = deps.clock->Now();
  if (model != nullptr) {
    statistics->Add(model->info(), status.ok(), times, images, end - done, end - start);
  }
  return status;
}

struct NoSettings {};

class StreamInfer final : public BidiReactor<ModelInferRequest, NoSettings> {
 public:
  StreamInfer(const CallDeps& deps, Statistics* statistics, grpc::CallbackServerContext* context)
      : BidiReactor({.method = RpcMethod::kModelStreamInfer, .in_order = true, .unit = "requests"},
                    deps, context),
        statistics_(statistics) {}

 private:
  absl::StatusOr<bool> Takes(ModelInferRequest*, std::shared_ptr<const NoSettings>*) override {
    return true;
  }

  void Submit(Item item) override {
    const TimePoint start = deps().clock->Now();
    auto request = RequestOf(*item.message, deps(), item.call);
    if (!request.ok()) {
      ExtractResult failed;
      failed.status = request.status();
      return Answered(item.index, item.message.get(), start, std::move(failed));
    }
    // The message and, of pixels that had to be packed, their bytes.
    request->owner = std::make_shared<
        std::pair<std::shared_ptr<const void>, std::shared_ptr<ModelInferRequest>>>(request->owner,
                                                                                    item.message);
    deps().pipeline->Extract(
        *std::move(request), [this, keep = shared_from_this(), start, index = item.index,
                              message = item.message](ExtractResult result) {
          Guarded([&] { Answered(index, message.get(), start, std::move(result)); }, index);
        });
  }

  void Answered(int64_t index, ModelInferRequest* request, TimePoint start, ExtractResult result) {
    Permit permit = std::move(result.permit);
    const std::shared_ptr<ModelMetrics> model = MetricsOf(result);
    absl::Status status;
    grpc::ByteBuffer bytes;
    DropImages(request);
    {
      inference::ModelStreamInferResponse response;
      const TimePoint done = deps().clock->Now();
      status = WriteAnswer(deps(), statistics_, start, *request, std::move(result),
                           response.mutable_infer_response());
      if (!status.ok()) {
        response.set_error_message(Concat(ReasonText(status), ": ", ToRpcStatus(status).message()));
        response.mutable_infer_response()->set_id(request->id());
      }
      bytes = SerializeMessage(response);
      (model != nullptr ? *model : deps().metrics->no_model())
          .StageTime(Stage::kConvert, ToSeconds(deps().clock->Now() - done));
    }
    Reply(index, bytes, std::move(permit), !status.ok(), model);
  }

  Statistics* const statistics_;
};

}  // namespace

void UnaryInfer::Run() {
  const TimePoint start = deps().clock->Now();
  auto request = RequestOf(*request_, deps(), call_);
  if (!request.ok()) return End(request.status());
  SetPriority(call_->priority());  // which its parameters may have said
  if (!request_->id().empty()) record_.Note("request_id", request_->id());
  record_.Note("images", request->images.size());
  record_.Note("heads", request->heads.size());
  deps().pipeline->Extract(*std::move(request),
                           [this, keep = Keep(this), start](ExtractResult result) {
                             Guarded([&] { Reply(start, std::move(result)); });
                           });
}

void UnaryInfer::Reply(TimePoint start, ExtractResult result) {
  record_.SetModel(MetricsOf(result));
  record_.TraceStages(result);
  if (result.status.ok()) NoteResult(result, &record_);
  DropImages(request_.get());
  Permit permit = std::move(result.permit);
  EndWithReply(std::move(permit), [&](inference::ModelInferResponse* response) {
    return WriteAnswer(deps(), statistics_, start, *request_, std::move(result), response);
  });
}

grpc::ServerGenericBidiReactor* StartStreamInfer(const CallDeps& deps, Statistics* statistics,
                                                 grpc::CallbackServerContext* context) {
  const auto stream = std::make_shared<StreamInfer>(deps, statistics, context);
  stream->Start();
  return stream.get();
}

}  // namespace pixpool::kserve
