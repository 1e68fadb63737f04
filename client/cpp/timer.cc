#include "client/cpp/timer.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/synchronization/notification.h"
#include "grpcpp/alarm.h"

namespace pixpool::client {
namespace {

class RealTimer final : public Timer {
 public:
  absl::Time Now() override { return absl::Now(); }

  void After(absl::Duration delay, std::function<void()> f) override {
    // Owned by its callback, which runs exactly once. Not held by the std::function itself: the
    // alarm holds that in turn.
    auto* const alarm = new grpc::Alarm;
    alarm->Set(absl::ToChronoTime(absl::Now() + delay), [alarm, f = std::move(f)](bool) {
      f();
      delete alarm;
    });
  }
};

}  // namespace

void Timer::Sleep(absl::Duration delay) {
  // Shared, because the waker may still be inside Notify when this function returns.
  auto done = std::make_shared<absl::Notification>();
  After(delay, [done] { done->Notify(); });
  done->WaitForNotification();
}

Timer* Timer::Real() {
  static Timer* const timer = new RealTimer;
  return timer;
}

}  // namespace pixpool::client
