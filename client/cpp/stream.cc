#include "client/cpp/stream.h"

#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/core.h"
#include "client/cpp/error.h"
#include "client/cpp/retry.h"
#include "grpcpp/client_context.h"

namespace pixpool::client {

// One thread writes (images), one reads (Run's); they meet in the fields under mu_.
//
// Invariant: every image taken from the source and not answered to the sink is in exactly one of
// sent_ (with the server), a timer's function (shed, its delay running) and ready_ (to be sent
// again).
class Stream::State : public std::enable_shared_from_this<Stream::State> {
 public:
  State(internal::Core* core, StreamOptions options)
      : core_(core),
        options_(std::move(options)),
        deadline_(core_->timer->Now() + options_.timeout) {}

  absl::Status Run(const Source& source, const Sink& sink);
  void Cancel() {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
    if (context_) context_->TryCancel();
  }

 private:
  struct Item {
    int64_t ordinal;
    v1::Image image;  // kept for sending again
    RetrySchedule retry;
  };
  using Call = grpc::ClientReaderWriter<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>;

  void Write(Call& call, const Source& source);
  // Reads until the stream ends; the reason if it is on this side.
  absl::Status Read(Call& call, grpc::ClientContext& context, const Sink& sink);
  // Blocks until there is something to send: an image to be sent again, or `nullopt` for "ask the
  // source". False: stop.
  bool NextToSend(std::optional<Item>& item);
  // The ordinal of an answered image; nullopt if it is going to be sent again.
  absl::StatusOr<std::optional<int64_t>> Answered(const v1::ImageResult& result);

  bool Wakeup() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return broken_ || !ready_.empty() || (exhausted_ ? unanswered_ == 0 : HasRoom());
  }
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return unanswered_ < options_.max_in_flight;
  }

  // Constant after construction.
  internal::Core* const core_;
  const StreamOptions options_;
  const absl::Time deadline_;

  absl::Mutex mu_;
  // There until Run is over: it holds on to the channel, which a timer that still knows this object
  // must not.
  std::unique_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mu_) =
      std::make_unique<grpc::ClientContext>();
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;     // no more messages will come
  bool exhausted_ ABSL_GUARDED_BY(mu_) = false;  // the source has ended
  int unanswered_ ABSL_GUARDED_BY(mu_) = 0;      // all of those images
  int64_t next_ordinal_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t next_index_ ABSL_GUARDED_BY(mu_) = 0;  // the server's count of images
  std::map<int64_t, Item> sent_ ABSL_GUARDED_BY(mu_);
  std::deque<Item> ready_ ABSL_GUARDED_BY(mu_);
};

bool Stream::State::NextToSend(std::optional<Item>& item) {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &State::Wakeup));
  if (broken_) return false;
  if (!ready_.empty()) {
    item = std::move(ready_.front());
    ready_.pop_front();
    return true;
  }
  item.reset();
  return !exhausted_;
}

void Stream::State::Write(Call& call, const Source& source) {
  v1::StreamFeaturesRequest request;
  *request.mutable_config() = options_.config;
  std::optional<Item> item;
  while (NextToSend(item)) {
    if (!item) {
      std::optional<v1::Image> image = source();
      absl::MutexLock lock(&mu_);
      if (!image) {
        exhausted_ = true;
        continue;
      }
      ++unanswered_;
      item = Item{next_ordinal_++, *std::move(image), RetrySchedule(core_->options.retry)};
    }
    *request.mutable_image() = item->image;
    {
      absl::MutexLock lock(&mu_);
      sent_.emplace(next_index_++, *std::move(item));
    }
    // A failed write means a broken stream, which the reader learns with the reason.
    if (!call.Write(request)) return;
    request.clear_config();
  }
  call.WritesDone();
}

absl::StatusOr<std::optional<int64_t>> Stream::State::Answered(const v1::ImageResult& result) {
  std::shared_ptr<Item> shed;
  absl::Duration delay;
  {
    absl::MutexLock lock(&mu_);
    const auto it = sent_.find(result.index());
    if (it == sent_.end()) {
      return absl::InternalError(absl::StrCat("the server answered image ", result.index(),
                                              " of the stream, which is not in flight"));
    }
    Item item = std::move(it->second);
    sent_.erase(it);
    std::optional<absl::Duration> retry;
    if (result.has_status()) {
      retry = item.retry.Next(FromRpcStatus(result.status()), deadline_ - core_->timer->Now(),
                              RandomUnit());
    }
    if (!retry) {
      --unanswered_;
      return std::optional<int64_t>(item.ordinal);
    }
    delay = *retry;
    shed = std::make_shared<Item>(std::move(item));
  }
  // Outside of the lock, since a timer may run its function at once.
  core_->timer->After(delay, [self = shared_from_this(), shed] {
    absl::MutexLock lock(&self->mu_);
    self->ready_.push_back(std::move(*shed));
  });
  return std::optional<int64_t>();
}

absl::Status Stream::State::Run(const Source& source, const Sink& sink) {
  grpc::ClientContext* context;
  {
    absl::MutexLock lock(&mu_);
    if (started_) return absl::FailedPreconditionError("Stream::Run may be called only once");
    if (cancelled_) return absl::CancelledError("the stream was cancelled");
    started_ = true;
    context = context_.get();
  }
  if (options_.max_in_flight < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_in_flight must be at least 1, is ", options_.max_in_flight));
  }
  const absl::StatusOr<Headers> headers = core_->CallHeaders();
  if (!headers.ok()) return headers.status();
  for (const auto& [name, value] : *headers) context->AddMetadata(name, value);
  if (options_.timeout != absl::InfiniteDuration()) {
    context->set_deadline(absl::ToChronoTime(absl::Now() + options_.timeout));
  }
  const std::unique_ptr<Call> call = core_->features->StreamFeatures(context);
  std::thread writer([&] { Write(*call, source); });
  const absl::Status own_error = Read(*call, *context, sink);
  {
    absl::MutexLock lock(&mu_);
    broken_ = true;
  }
  writer.join();
  const grpc::Status status = call->Finish();
  const absl::Status error = FromGrpcStatus(status, &context->GetServerTrailingMetadata());

  absl::MutexLock lock(&mu_);
  context_.reset();
  if (!own_error.ok()) return own_error;
  if (cancelled_) return absl::CancelledError("the stream was cancelled");
  if (!error.ok()) return error;
  if (!exhausted_ || unanswered_ > 0) {
    return absl::UnavailableError(absl::StrCat(
        "the server ended the stream before its last image; without a result: ", unanswered_,
        " of ", next_ordinal_));
  }
  return absl::OkStatus();
}

absl::Status Stream::State::Read(Call& call, grpc::ClientContext& context, const Sink& sink) {
  absl::Status error;
  v1::StreamFeaturesResponse response;
  while (call.Read(&response)) {
    if (!error.ok()) continue;  // cancelled: what is under way is thrown away
    const auto ordinal = Answered(response.result());
    if (!ordinal.ok()) {
      error = ordinal.status();
    } else if (*ordinal) {
      response.mutable_result()->set_index(**ordinal);
      if (!sink(std::move(response))) {
        error = absl::CancelledError("the receiver of the results ended the stream");
      }
      response = {};
    }
    if (!error.ok()) context.TryCancel();
  }
  return error;
}

Stream::Stream(const Client& client, StreamOptions options)
    : state_(std::make_shared<State>(client.core_.get(), std::move(options))) {}
Stream::~Stream() = default;

absl::Status Stream::Run(Source source, Sink sink) { return state_->Run(source, sink); }
void Stream::Cancel() { state_->Cancel(); }

}  // namespace pixpool::client
