#include "client/cpp/stream.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/core.h"
#include "client/cpp/error.h"
#include "client/cpp/retry.h"
#include "client/cpp/window.h"
#include "grpcpp/client_context.h"

namespace pixpool::client {

// A thread asks the source as long as Run lasts. Each call has a thread that writes, and Run's reads
// it. They meet in the fields under mu_.
//
// Invariant: every image taken from the source and not answered to the sink is in exactly one of
// sent_ (with the server), a timer's function (shed, its delay running) and ready_ (to be sent).
class Stream::State : public std::enable_shared_from_this<Stream::State> {
 public:
  State(internal::Core* core, StreamOptions options)
      : core_(core),
        options_(std::move(options)),
        deadline_(core_->timer->Now() + options_.timeout),
        window_(std::max(1, options_.max_in_flight)) {
    if (options_.config.priority() == v1::PRIORITY_UNSPECIFIED) {
      options_.config.set_priority(core_->options.priority);
    }
  }

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
    int64_t window_number = 0;
    int losses = 0;  // connections that it was lost with
  };
  using Call = grpc::ClientReaderWriter<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>;

  // Asks the source for as many images as may be in flight.
  void Feed(const Source& source);
  // Calls, one after the other, until all is answered.
  absl::Status Serve(const Headers& headers, const Sink& sink);
  // One call from its beginning to its end. OK: another one may follow.
  absl::Status Converse(const Headers& headers, const Sink& sink, RetrySchedule& reopen);
  void Write(Call& call);
  // Reads until the call ends; the reason if it is on this side.
  absl::Status Read(Call& call, grpc::ClientContext& context, const Sink& sink);
  // Blocks until there is an image to send; nullopt: nothing more is to be written.
  std::optional<v1::Image> NextToSend();
  // The ordinal of an answered image; nullopt if it is going to be sent again.
  absl::StatusOr<std::optional<int64_t>> Answered(const v1::ImageResult& result);
  // After a call that the connection was lost with: waits, and readies what it had not answered.
  absl::Status Recover(const absl::Status& error, RetrySchedule& reopen);
  // Blocks for `delay` of the timer, or until Cancel.
  void Pause(absl::Duration delay);

  absl::Duration Remaining() const { return deadline_ - core_->timer->Now(); }
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return over_ || unanswered_ < options_.max_in_flight;
  }
  bool AllAnswered() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return exhausted_ && unanswered_ == 0;
  }
  bool NeedsCall() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return cancelled_ || !ready_.empty() || AllAnswered();
  }
  bool WriterHasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const bool sendable =
        !ready_.empty() && sent_.size() < static_cast<size_t>(window_.size());
    return call_over_ || renew_ || sendable || AllAnswered();
  }

  // Constant after construction.
  internal::Core* const core_;
  StreamOptions options_;
  const absl::Time deadline_;

  absl::Mutex mu_;
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  bool over_ ABSL_GUARDED_BY(mu_) = false;       // nothing more is taken from the source
  bool exhausted_ ABSL_GUARDED_BY(mu_) = false;  // the source has ended
  int unanswered_ ABSL_GUARDED_BY(mu_) = 0;      // all images taken and not answered
  int64_t next_ordinal_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Item> ready_ ABSL_GUARDED_BY(mu_);
  internal::Window window_ ABSL_GUARDED_BY(mu_);

  // Of the call that is under way. The context is there for no longer: it holds on to the channel,
  // which a timer that still knows this object must not.
  std::unique_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mu_);
  absl::Time opened_ ABSL_GUARDED_BY(mu_);
  bool renew_ ABSL_GUARDED_BY(mu_) = false;      // takes no more images: the next call does
  bool call_over_ ABSL_GUARDED_BY(mu_) = false;  // no more results will come
  int64_t next_index_ ABSL_GUARDED_BY(mu_) = 0;  // the server's count of images
  int64_t results_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<int64_t, Item> sent_ ABSL_GUARDED_BY(mu_);
};

void Stream::State::Feed(const Source& source) {
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &State::HasRoom));
      if (over_) return;
    }
    std::optional<v1::Image> image = source();
    absl::MutexLock lock(&mu_);
    if (!image) {
      exhausted_ = true;
      return;
    }
    ++unanswered_;
    ready_.push_back({next_ordinal_++, *std::move(image), RetrySchedule(core_->options.retry)});
  }
}

std::optional<v1::Image> Stream::State::NextToSend() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &State::WriterHasWork));
  if (call_over_ || renew_ || ready_.empty()) return std::nullopt;
  renew_ = core_->timer->Now() - opened_ >= options_.max_call_age;
  if (renew_) return std::nullopt;
  Item item = std::move(ready_.front());
  ready_.pop_front();
  item.window_number = window_.Sent();
  v1::Image image = item.image;
  sent_.emplace(next_index_++, std::move(item));
  return image;
}

void Stream::State::Write(Call& call) {
  v1::StreamFeaturesRequest request;
  *request.mutable_config() = options_.config;
  while (std::optional<v1::Image> image = NextToSend()) {
    *request.mutable_image() = *std::move(image);
    // A failed write means a broken stream, which the reader learns with the reason.
    if (!call.Write(request)) return;
    request.clear_config();
  }
  call.WritesDone();
}

absl::StatusOr<std::optional<int64_t>> Stream::State::Answered(const v1::ImageResult& result) {
  std::shared_ptr<Item> again;
  absl::Duration delay;
  {
    absl::MutexLock lock(&mu_);
    ++results_;
    const auto it = sent_.find(result.index());
    if (it == sent_.end()) {
      return absl::InternalError(absl::StrCat("the server answered image ", result.index(),
                                              " of the stream, which is not in flight"));
    }
    Item item = std::move(it->second);
    sent_.erase(it);
    std::optional<absl::Duration> retry;
    std::string reason;
    if (result.has_status()) {
      const absl::Status status = FromRpcStatus(result.status());
      reason = GetErrorDetails(status).reason;
      retry = item.retry.Next(status, Remaining(), RandomUnit());
    }
    if (reason == "OVERLOADED") {
      window_.Shed(item.window_number);
    } else {
      window_.Answered();
    }
    // This server ends: what it did not take is for the one that a new call reaches.
    if (reason == "DRAINING") renew_ = true;
    if (!retry) {
      --unanswered_;
      return std::optional<int64_t>(item.ordinal);
    }
    delay = *retry;
    again = std::make_shared<Item>(std::move(item));
  }
  // Outside of the lock, since a timer may run its function at once.
  core_->timer->After(delay, [self = shared_from_this(), again] {
    absl::MutexLock lock(&self->mu_);
    self->ready_.push_back(std::move(*again));
  });
  return std::optional<int64_t>();
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

void Stream::State::Pause(absl::Duration delay) {
  const auto done = std::make_shared<bool>(false);
  core_->timer->After(delay, [self = shared_from_this(), done] {
    absl::MutexLock lock(&self->mu_);
    *done = true;
  });
  absl::MutexLock lock(&mu_);
  const auto ready = [this, &done]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return *done || cancelled_;
  };
  mu_.Await(absl::Condition(&ready));
}

absl::Status Stream::State::Recover(const absl::Status& error, RetrySchedule& reopen) {
  const RetryPolicy& policy = core_->options.retry;
  {
    absl::MutexLock lock(&mu_);
    if (results_ > 0) reopen = RetrySchedule(policy);
    // In the order in which they were sent, before those that were not.
    std::deque<Item> lost;
    for (auto& [index, item] : sent_) {
      // A picture that brings servers down must not do so for ever.
      if (++item.losses >= policy.max_attempts) return error;
      lost.push_back(std::move(item));
    }
    sent_.clear();
    std::move(ready_.begin(), ready_.end(), std::back_inserter(lost));
    ready_ = std::move(lost);
  }
  const std::optional<absl::Duration> delay = reopen.Next(error, Remaining(), RandomUnit());
  if (!delay) return error;
  Pause(*delay);
  return absl::OkStatus();
}

absl::Status Stream::State::Converse(const Headers& headers, const Sink& sink,
                                     RetrySchedule& reopen) {
  grpc::ClientContext* context;
  {
    absl::MutexLock lock(&mu_);
    if (cancelled_) return absl::CancelledError("the stream was cancelled");
    context_ = std::make_unique<grpc::ClientContext>();
    context = context_.get();
    opened_ = core_->timer->Now();
    renew_ = call_over_ = false;
    next_index_ = results_ = 0;
  }
  for (const auto& [name, value] : headers) context->AddMetadata(name, value);
  if (options_.timeout != absl::InfiniteDuration()) {
    // The timer's clock may be a test's, gRPC's is real: only the time left carries over.
    context->set_deadline(absl::ToChronoTime(absl::Now() + Remaining()));
  }
  std::unique_ptr<Call> call = core_->features->StreamFeatures(context);
  std::thread writer([&] { Write(*call); });
  const absl::Status own_error = Read(*call, *context, sink);
  {
    absl::MutexLock lock(&mu_);
    call_over_ = true;
  }
  writer.join();
  const grpc::Status status = call->Finish();
  const absl::Status error = FromGrpcStatus(status, &context->GetServerTrailingMetadata());
  call.reset();

  {
    absl::MutexLock lock(&mu_);
    context_.reset();
    if (!own_error.ok()) return own_error;
    if (cancelled_) return absl::CancelledError("the stream was cancelled");
    if (error.ok()) {
      if (sent_.empty() && (renew_ || AllAnswered())) return absl::OkStatus();
      return absl::UnavailableError(absl::StrCat(
          "the server ended the stream before its last image; without a result: ", unanswered_,
          " of ", next_ordinal_));
    }
  }
  // With a reason it is the server's answer, and not a connection that was lost.
  if (!IsRetryable(error) || !GetErrorDetails(error).reason.empty()) return error;
  return Recover(error, reopen);
}

absl::Status Stream::State::Serve(const Headers& headers, const Sink& sink) {
  RetrySchedule reopen(core_->options.retry);
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &State::NeedsCall));
      if (!cancelled_ && AllAnswered()) return absl::OkStatus();
    }
    if (absl::Status status = Converse(headers, sink, reopen); !status.ok()) return status;
  }
}

absl::Status Stream::State::Run(const Source& source, const Sink& sink) {
  {
    absl::MutexLock lock(&mu_);
    if (started_) return absl::FailedPreconditionError("Stream::Run may be called only once");
    if (cancelled_) return absl::CancelledError("the stream was cancelled");
    started_ = true;
  }
  if (options_.max_in_flight < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_in_flight must be at least 1, is ", options_.max_in_flight));
  }
  if (options_.max_call_age <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("max_call_age must be above 0, is ",
                                                   absl::FormatDuration(options_.max_call_age)));
  }
  const absl::StatusOr<Headers> headers = core_->CallHeaders();
  if (!headers.ok()) return headers.status();
  std::thread feeder([&] { Feed(source); });
  absl::Status status = Serve(*headers, sink);
  {
    absl::MutexLock lock(&mu_);
    over_ = true;
  }
  feeder.join();
  return status;
}

Stream::Stream(const Client& client, StreamOptions options)
    : state_(std::make_shared<State>(client.core_.get(), std::move(options))) {}
Stream::~Stream() = default;

absl::Status Stream::Run(Source source, Sink sink) { return state_->Run(source, sink); }
void Stream::Cancel() { state_->Cancel(); }

}  // namespace pixpool::client
