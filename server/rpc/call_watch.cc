#include "server/rpc/call_watch.h"

#include <utility>

#include "server/rpc/guard.h"

namespace pixpool {

CallWatch::CallWatch(const Clock* clock, std::chrono::milliseconds period) : clock_(clock) {
  if (period == period.zero()) return;
  ticker_.emplace("watch", period, [this] {
    // What could not be ended for want of memory has been logged, and the rest is next.
    Guard([this] { Sweep(); }).IgnoreError();
  });
}

void CallWatch::AwaitMessage(Watched* call, TimePoint expires) { Set(call, expires, 0, 0); }

void CallWatch::AwaitReader(Watched* call, TimePoint expires, int64_t answers, int64_t bytes) {
  Set(call, expires, answers, bytes);
}

void CallWatch::Set(Watched* call, TimePoint expires, int64_t answers, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  Unlink(call);
  call->expires_ = expires;
  call->answers_ = answers;
  call->bytes_ = bytes;
  call->listed_ = true;
  call->previous_ = nullptr;
  call->next_ = first_;
  if (first_ != nullptr) first_->previous_ = call;
  first_ = call;
  unread_.answers += answers;
  unread_.bytes += bytes;
}

void CallWatch::Forget(Watched* call) {
  absl::MutexLock lock(&mu_);
  Unlink(call);
}

void CallWatch::Unlink(Watched* call) {
  if (!call->listed_) return;
  call->listed_ = false;
  (call->previous_ != nullptr ? call->previous_->next_ : first_) = call->next_;
  if (call->next_ != nullptr) call->next_->previous_ = call->previous_;
  unread_.answers -= call->answers_;
  unread_.bytes -= call->bytes_;
}

size_t CallWatch::TakeExpired(TimePoint now, Expired* expired) {
  size_t count = 0;
  absl::MutexLock lock(&mu_);
  for (Watched* call = first_; call != nullptr && count < expired->size(); call = call->next_) {
    if (call->expires_ > now) continue;
    (*expired)[count++] = call->Keep();
    // It counts as unread until it is gone, but it is ended once.
    call->expires_ = TimePoint::max();
  }
  return count;
}

void CallWatch::Sweep() {
  const TimePoint now = clock_->Now();
  Expired expired;
  while (const size_t count = TakeExpired(now, &expired)) {
    for (size_t i = 0; i < count; ++i) std::exchange(expired[i], nullptr)->OnExpired();
  }
}

CallWatch::Unread CallWatch::unread() const {
  absl::MutexLock lock(&mu_);
  return unread_;
}

}  // namespace pixpool
