// Calls that wait for their client: for its message, or for it to read an answer.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/clock.h"
#include "server/base/ticker.h"

namespace pixpool {

// A call as CallWatch sees it.
class Watched {
 public:
  // Its time is up. On the watch's thread, which holds no lock; called once for each time that
  // the call began to wait. It may come to its end meanwhile and be forgotten: Keep keeps the
  // object alive, but not what gRPC has for it (call_handle.h).
  virtual void OnExpired() = 0;

 protected:
  ~Watched() = default;

 private:
  friend class CallWatch;
  // Keeps the object alive. Called only while it is watched.
  virtual std::shared_ptr<Watched> Keep() = 0;

  // Guarded by the watch's lock; a list of its own, so that a call takes no memory to be watched.
  Watched* previous_ = nullptr;
  Watched* next_ = nullptr;
  TimePoint expires_;
  int64_t answers_ = 0;
  int64_t bytes_ = 0;
  bool listed_ = false;
};

// Ends calls whose client lets them wait beyond their time, and counts the answers that are being
// written. gRPC does the first for deadlines that the client set; here are those that the server
// sets.
//
// Thread-safe; nothing blocks. A call must be forgotten before it is destroyed.
class CallWatch {
 public:
  // Looks at the calls every `period`, on a thread of its own; zero: only when Sweep is called.
  CallWatch(const Clock* clock, std::chrono::milliseconds period);

  // The call waits for a message until `expires`.
  void AwaitMessage(Watched* call, TimePoint expires);

  // The call waits until `expires` for its client to read what it was sent.
  void AwaitReader(Watched* call, TimePoint expires, int64_t answers, int64_t bytes);

  // The call waits for nothing.
  void Forget(Watched* call);

  // Ends what has expired by now.
  void Sweep();

  struct Unread {
    int64_t answers = 0;
    int64_t bytes = 0;
  };
  Unread unread() const;

 private:
  void Set(Watched* call, TimePoint expires, int64_t answers, int64_t bytes);
  void Unlink(Watched* call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Some of those that have expired, from the start of the array; none twice.
  using Expired = std::array<std::shared_ptr<Watched>, 64>;
  size_t TakeExpired(TimePoint now, Expired* expired);

  const Clock* const clock_;

  mutable absl::Mutex mu_;
  Watched* first_ ABSL_GUARDED_BY(mu_) = nullptr;
  Unread unread_ ABSL_GUARDED_BY(mu_);

  std::optional<Ticker> ticker_;  // last: it uses everything above
};

}  // namespace pixpool
