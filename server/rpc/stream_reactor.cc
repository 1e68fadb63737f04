#include "server/rpc/stream_reactor.h"

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/error.h"
#include "server/rpc/extract_convert.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

// Invariants, under mu_:
//   - active_.size() + replies_.size() <= max_in_flight_ whenever a read is started;
//   - at most one read and one write are outstanding;
//   - Finish is called once, when nothing is active, queued, being read or being written and either
//   the client is done or the
//     call is over.
// gRPC may call OnDone as soon as Finish is called, on another thread, while this one still holds
// mu_. So the object owns itself until OnDone, and every entry point keeps it alive past its lock
// (`keep` is declared before the lock).
class StreamReactor final
    : public grpc::ServerBidiReactor<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>,
      public std::enable_shared_from_this<StreamReactor> {
 public:
  StreamReactor(const CallOptions& options, int max_in_flight, Engine* engine, Metrics* metrics,
                const Clock* clock, grpc::CallbackServerContext* context)
      : options_(options),
        max_in_flight_(static_cast<size_t>(max_in_flight)),
        engine_(engine),
        clock_(clock),
        context_(context),
        record_(RpcMethod::kStreamFeatures, context->peer(), metrics, clock) {}

  void Start() {
    self_ = shared_from_this();
    absl::MutexLock lock(&mu_);
    StartReadLocked();
  }

  void OnReadDone(bool ok) override {
    const auto keep = shared_from_this();
    Item item;
    {
      absl::MutexLock lock(&mu_);
      item.message = std::move(incoming_);
      reading_ = false;
      if (!ok) {
        read_closed_ = true;
        return FinishIfOverLocked();
      }
      if (item.message->has_config()) config_ = item.message->config();
      if (!item.message->has_image()) return StartReadLocked();
      // Here, and not when it is handed over: by then the next message may have come in on another
      // thread.
      RegisterLocked(&item);
    }
    Submit(std::move(item));
    absl::MutexLock lock(&mu_);
    if (!reading_) StartReadLocked();
  }

  void OnWriteDone(bool ok) override {
    const auto keep = shared_from_this();
    absl::MutexLock lock(&mu_);
    writing_ = false;
    replies_.pop_front();
    if (!ok) over_ = true;  // the client is gone; what is in flight is dropped as it comes back
    WriteLocked();
    if (!reading_) StartReadLocked();
    FinishIfOverLocked();
  }

  void OnCancel() override {
    const auto keep = shared_from_this();
    absl::MutexLock lock(&mu_);
    over_ = true;
    for (auto& [index, call] : active_) call->Cancel();
    FinishIfOverLocked();
  }

  void OnDone() override { self_.reset(); }

 private:
  // One image of the stream on its way to the engine.
  struct Item {
    std::shared_ptr<v1::StreamFeaturesRequest> message;
    v1::StreamConfig config;
    int64_t index = 0;
    std::shared_ptr<CallContext> call;
  };

  // Gives the image its place in the stream, the settings in force, and its own allowance of time
  // within the stream's.
  void RegisterLocked(Item* item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    item->index = image_count_++;
    item->config = config_;
    item->call = std::make_shared<CallContext>(CallDeadline(
        context_->deadline(), std::chrono::system_clock::now(), clock_->Now(), options_));
    if (over_) item->call->Cancel();
    active_.emplace(item->index, item->call);
  }

  // Hands one image to the engine. mu_ is not held: the engine may answer at once, on this thread.
  void Submit(Item item) {
    const std::string& id = item.message->image().image_id();
    auto request = StreamRequestFromProto(item.config, item.message->image());
    if (!request.ok()) {
      ExtractResult failed;
      failed.status = request.status();
      return Reply(item.index, id, std::move(failed));
    }
    request->owner = item.message;
    request->context = std::move(item.call);
    engine_->Extract(*std::move(request),
                     [keep = shared_from_this(), index = item.index, id](ExtractResult result) {
                       keep->Reply(index, id, std::move(result));
                     });
  }

  void Reply(int64_t index, const std::string& image_id, ExtractResult result) {
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
    absl::MutexLock lock(&mu_);
    failed_count_ += failed ? 1 : 0;
    active_.erase(index);
    if (!over_) replies_.push_back(std::move(response));
    WriteLocked();
    FinishIfOverLocked();
  }

  void StartReadLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (read_closed_ || finished_ || over_ || reading_ ||
        active_.size() + replies_.size() >= max_in_flight_) {
      return FinishIfOverLocked();
    }
    reading_ = true;
    incoming_ = std::make_shared<v1::StreamFeaturesRequest>();
    StartRead(incoming_.get());
  }

  void WriteLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || finished_) return;
    if (over_) return replies_.clear();
    if (replies_.empty()) return;
    writing_ = true;
    StartWrite(replies_.front().get());
  }

  void FinishIfOverLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const bool idle = !reading_ && !writing_ && active_.empty();
    if (finished_ || !idle || !(over_ || (read_closed_ && replies_.empty()))) return;
    finished_ = true;
    record_.Note("images", image_count_);
    record_.Note("failed_images", failed_count_);
    const absl::Status status = over_ ? OverStatus() : absl::OkStatus();
    record_.End(status);
    Finish(ToGrpcStatus(status));
  }

  // Why a stream ended before its client had everything; gRPC cancels one whose deadline has
  // passed.
  absl::Status OverStatus() const {
    if (std::chrono::system_clock::now() >= context_->deadline()) {
      return MakeError(ErrorReason::kDeadlineInQueue, "the stream's deadline passed");
    }
    return MakeError(ErrorReason::kCancelled, "the client cancelled the stream");
  }

  // Constant after construction.
  const CallOptions options_;
  const size_t max_in_flight_;
  Engine* const engine_;
  const Clock* const clock_;
  grpc::CallbackServerContext* const context_;

  std::shared_ptr<StreamReactor> self_;  // set by Start, reset by OnDone

  absl::Mutex mu_;
  std::shared_ptr<v1::StreamFeaturesRequest> incoming_ ABSL_GUARDED_BY(mu_);  // being read
  CallRecord record_ ABSL_GUARDED_BY(mu_);
  v1::StreamConfig config_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, std::shared_ptr<CallContext>> active_ ABSL_GUARDED_BY(mu_);
  std::deque<std::unique_ptr<v1::StreamFeaturesResponse>> replies_ ABSL_GUARDED_BY(mu_);
  int64_t image_count_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t failed_count_ ABSL_GUARDED_BY(mu_) = 0;
  bool reading_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool read_closed_ ABSL_GUARDED_BY(mu_) = false;  // the client has sent everything
  bool over_ ABSL_GUARDED_BY(mu_) = false;         // cancelled, or the connection is gone
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

grpc::ServerBidiReactor<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>* StartStream(
    const CallOptions& options, int max_in_flight, Engine* engine, Metrics* metrics,
    const Clock* clock, grpc::CallbackServerContext* context) {
  const auto stream =
      std::make_shared<StreamReactor>(options, max_in_flight, engine, metrics, clock, context);
  stream->Start();
  return stream.get();
}

}  // namespace pixpool
