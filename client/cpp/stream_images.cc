#include "client/cpp/stream_images.h"

#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/error.h"

namespace pixpool::client::internal {

bool StreamImages::Start() {
  absl::MutexLock lock(&mu_);
  return !std::exchange(started_, true);
}

void StreamImages::Stop() {
  absl::MutexLock lock(&mu_);
  over_ = true;
}

void StreamImages::Cancel() {
  absl::MutexLock lock(&mu_);
  cancelled_ = true;
  if (context_) context_->TryCancel();
}

void StreamImages::Feed(const Stream::Source& source) {
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(this, &StreamImages::HasRoom));
      if (over_ || cancelled_) return;
    }
    std::optional<v1::Image> image = source();
    absl::MutexLock lock(&mu_);
    if (!image) {
      exhausted_ = true;
      return;
    }
    ++unanswered_;
    ready_.push_back({next_ordinal_++, std::make_shared<const v1::Image>(*std::move(image)),
                      RetrySchedule(core_->options.retry)});
  }
}

bool StreamImages::AwaitNeedOfCall() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &StreamImages::NeedsCall));
  return cancelled_ || !AllAnswered();
}

absl::StatusOr<grpc::ClientContext*> StreamImages::BeginCall() {
  absl::MutexLock lock(&mu_);
  if (cancelled_) return absl::CancelledError("the stream was cancelled");
  context_ = std::make_unique<grpc::ClientContext>();
  opened_ = core_->timer->Now();
  renew_ = call_over_ = false;
  next_index_ = results_ = 0;
  return context_.get();
}

std::shared_ptr<const v1::Image> StreamImages::NextToSend() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &StreamImages::WriterHasWork));
  if (call_over_ || renew_ || ready_.empty()) return nullptr;
  renew_ = core_->timer->Now() - opened_ >= max_call_age_;
  if (renew_) return nullptr;
  Item item = std::move(ready_.front());
  ready_.pop_front();
  item.window_number = window_.Sent();
  return sent_.emplace(next_index_++, std::move(item)).first->second.image;
}

absl::StatusOr<std::optional<int64_t>> StreamImages::Answered(const v1::ImageResult& result) {
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
    absl::Status status;
    if (result.has_status()) {
      status = FromRpcStatus(result.status());
      retry = item.retry.Next(status, Remaining(), RandomUnit());
    }
    if (WasShed(status)) {
      window_.Shed(item.window_number);
    } else {
      window_.Answered();
    }
    // This server ends: what it did not take is for the one that a new call reaches.
    if (GetErrorDetails(status).reason == "DRAINING") renew_ = true;
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

void StreamImages::StopCall() {
  absl::MutexLock lock(&mu_);
  call_over_ = true;
}

absl::Status StreamImages::EndCall(const absl::Status& error) {
  absl::MutexLock lock(&mu_);
  context_.reset();
  if (cancelled_) return absl::CancelledError("the stream was cancelled");
  if (!error.ok() || (sent_.empty() && (renew_ || AllAnswered()))) return error;
  return absl::UnavailableError(absl::StrCat(
      "the server ended the stream before its last image; without a result: ", unanswered_, " of ",
      next_ordinal_));
}

void StreamImages::Pause(absl::Duration delay) {
  const auto done = std::make_shared<bool>(false);
  core_->timer->After(delay, [self = shared_from_this(), done] {
    absl::MutexLock lock(&self->mu_);
    *done = true;
  });
  absl::MutexLock lock(&mu_);
  const auto ready = [this, &done]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return *done || cancelled_; };
  mu_.Await(absl::Condition(&ready));
}

absl::Status StreamImages::Recover(const absl::Status& error, RetrySchedule& reopen) {
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

}  // namespace pixpool::client::internal
