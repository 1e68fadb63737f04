#include "server/rpc/call_watch.h"

#include <gtest/gtest.h>

#include <vector>

namespace pixpool {
namespace {

using std::chrono::seconds;

class FakeCall final : public Watched, public std::enable_shared_from_this<FakeCall> {
 public:
  explicit FakeCall(CallWatch* watch) : watch_(watch) {}
  ~FakeCall() { watch_->Forget(this); }
  void OnExpired() override { ++expired; }

  int expired = 0;

 private:
  std::shared_ptr<Watched> Keep() override { return shared_from_this(); }
  CallWatch* const watch_;
};

class CallWatchTest : public ::testing::Test {
 protected:
  std::shared_ptr<FakeCall> NewCall() { return std::make_shared<FakeCall>(&watch_); }

  FakeClock clock_;
  CallWatch watch_{&clock_, std::chrono::milliseconds(0)};
};

TEST_F(CallWatchTest, ACallExpiresOnceAndNotBeforeItsTime) {
  const auto call = NewCall();
  watch_.AwaitMessage(call.get(), clock_.Now() + seconds(2));
  clock_.Advance(seconds(1));
  watch_.Sweep();
  EXPECT_EQ(call->expired, 0);
  clock_.Advance(seconds(1));
  watch_.Sweep();
  watch_.Sweep();
  EXPECT_EQ(call->expired, 1);
}

TEST_F(CallWatchTest, ANewWaitHasItsOwnTime) {
  const auto call = NewCall();
  watch_.AwaitReader(call.get(), clock_.Now() + seconds(2), 1, 10);
  clock_.Advance(seconds(1));
  watch_.AwaitReader(call.get(), clock_.Now() + seconds(2), 1, 10);
  clock_.Advance(seconds(1));
  watch_.Sweep();
  EXPECT_EQ(call->expired, 0);
  clock_.Advance(seconds(1));
  watch_.Sweep();
  EXPECT_EQ(call->expired, 1);
}

TEST_F(CallWatchTest, WhatIsForgottenNeitherExpiresNorCounts) {
  const auto call = NewCall();
  watch_.AwaitReader(call.get(), clock_.Now(), 1, 10);
  watch_.Forget(call.get());
  watch_.Forget(call.get());
  watch_.Sweep();
  EXPECT_EQ(call->expired, 0);
  EXPECT_EQ(watch_.unread().answers, 0);
  EXPECT_EQ(watch_.unread().bytes, 0);
}

TEST_F(CallWatchTest, UnreadAnswersAreSummedUntilTheyAreGone) {
  auto one = NewCall();
  const auto other = NewCall();
  watch_.AwaitReader(one.get(), clock_.Now(), 1, 10);
  watch_.AwaitReader(other.get(), clock_.Now() + seconds(1), 3, 100);
  watch_.AwaitReader(other.get(), clock_.Now() + seconds(1), 2, 70);
  EXPECT_EQ(watch_.unread().answers, 3);
  EXPECT_EQ(watch_.unread().bytes, 80);
  watch_.Sweep();
  EXPECT_EQ(watch_.unread().answers, 3) << "expired, and still there";
  one.reset();
  EXPECT_EQ(watch_.unread().answers, 2);
  EXPECT_EQ(watch_.unread().bytes, 70);
}

TEST_F(CallWatchTest, ManyExpireAtOnce) {
  std::vector<std::shared_ptr<FakeCall>> calls;
  for (int i = 0; i < 1000; ++i) {
    calls.push_back(NewCall());
    watch_.AwaitMessage(calls.back().get(), clock_.Now() + seconds(i % 2));
  }
  watch_.Sweep();
  for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i]->expired, i % 2 == 0 ? 1 : 0);
}

}  // namespace
}  // namespace pixpool
