#include "server/pipeline/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

using testing::HasSubstr;

AdmissionLimits Limits() {
  AdmissionLimits limits;
  limits.max_requests = 3;
  limits.max_bytes = 100;
  limits.max_pixels = 1000;
  limits.retry_after = std::chrono::milliseconds(70);
  return limits;
}

absl::StatusOr<Permit> Acquire(Admission& admission, AdmissionCost cost,
                               Priority priority = Priority::kInteractive,
                               const std::string& caller = "") {
  return admission.Acquire(cost, CallContext(TimePoint::max(), priority, caller));
}

void ExpectOverloaded(const absl::StatusOr<Permit>& permit, const char* flag) {
  ASSERT_FALSE(permit.ok());
  EXPECT_EQ(permit.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(permit.status().message()), HasSubstr(flag));
  const auto details = GetErrorDetails(permit.status());
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, ErrorReason::kOverloaded);
  EXPECT_GE(details->retry_after, absl::Milliseconds(56));
  EXPECT_LE(details->retry_after, absl::Milliseconds(84));
}

void ExpectFull(const absl::StatusOr<Permit>& permit, const std::string& text) {
  ASSERT_FALSE(permit.ok());
  EXPECT_EQ(permit.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(permit.status().message()), HasSubstr(text));
}

TEST(AdmissionTest, RequestsAreBounded) {
  Admission admission(Limits(), 1, Clock::Real());
  std::vector<Permit> permits;
  for (int i = 0; i < 3; ++i) permits.push_back(*Acquire(admission, {}));
  ExpectOverloaded(Acquire(admission, {}), "--max-in-flight-requests 3");
  permits.pop_back();
  EXPECT_TRUE(Acquire(admission, {}).ok());
}

void ExpectQuota(const absl::Status& status, const std::string& text, absl::Duration low,
                 absl::Duration high) {
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  const auto details = GetErrorDetails(status);
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->reason, ErrorReason::kQuotaExceeded);
  EXPECT_GE(details->retry_after, low);
  EXPECT_LE(details->retry_after, high);
}

std::shared_ptr<const CallerTerms> Terms(std::optional<int64_t> requests,
                                         std::optional<double> images_per_second) {
  return std::make_shared<const CallerTerms>(
      CallerTerms{.token = "t", .requests = requests, .images_per_second = images_per_second});
}

TEST(AdmissionTest, ATokenBoundsTheRequestsOfItsCaller) {
  FakeClock clock;
  Admission admission(Limits(), 1, &clock);
  const CallContext call(TimePoint::max(), Priority::kInteractive, "@t", Terms(1, std::nullopt));
  Permit permit = *admission.Acquire({}, call);
  const std::string text = "\"t\" has as many requests in flight as it may (requests=1 in";
  for (const absl::Status& status :
       {admission.MayArrive(call), admission.Acquire({}, call).status()}) {
    ExpectQuota(status, text, absl::Milliseconds(56), absl::Milliseconds(84));
  }
  EXPECT_TRUE(Acquire(admission, {}, Priority::kInteractive, "@another").ok());
  permit.Release();
  permit = *admission.Acquire({}, call);
  admission.Close();
  EXPECT_EQ(GetErrorDetails(admission.MayArrive(call))->reason, ErrorReason::kDraining)
      << "it is to go elsewhere and not to come back";
}

TEST(AdmissionTest, ATokenBoundsTheImagesASecondOfItsCaller) {
  FakeClock clock;
  Admission admission(Limits(), 1, &clock);
  const CallContext call(TimePoint::max(), Priority::kInteractive, "@t", Terms(std::nullopt, 4));
  const auto take = [&](int images) {
    return admission.Acquire({.passes = images}, call).status();
  };
  const auto refused = [&](int images, absl::Duration wait) {
    ExpectQuota(take(images), "sends more images a second than it may (images-per-second=4 in",
                wait, wait);
  };
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(take(1).ok()) << "a second's worth at once";
  refused(1, absl::Milliseconds(250));
  EXPECT_TRUE(Acquire(admission, {}, Priority::kInteractive, "@another").ok());
  clock.Advance(std::chrono::milliseconds(250));
  EXPECT_TRUE(admission.MayArrive(call).ok()) << "asking takes nothing";
  EXPECT_TRUE(take(1).ok());
  refused(1, absl::Milliseconds(250));

  clock.Advance(std::chrono::hours(1));
  EXPECT_TRUE(take(10).ok()) << "more than a second's worth, when nothing came for a second";
  refused(1, absl::Milliseconds(1750));
  refused(10, absl::Milliseconds(2500));
  clock.Advance(std::chrono::milliseconds(1750));
  EXPECT_TRUE(take(1).ok());

  clock.Advance(std::chrono::hours(1));
  EXPECT_TRUE(admission.Acquire({.images = 0, .passes = 4}, call).ok());
  EXPECT_EQ(admission.Acquire({.images = 0, .passes = 1}, call).status().code(),
            absl::StatusCode::kResourceExhausted)
      << "images whose answers are known count as well";
}

TEST(AdmissionTest, WhatATokenDoesNotAllowIsNoOverload) {
  FakeClock clock;
  Admission admission(Limits(), 1, &clock);
  const CallContext call(TimePoint::max(), Priority::kInteractive, "@t", Terms(std::nullopt, 1));
  int refused = 0;
  for (int i = 0; i < 1'000; ++i, clock.Advance(std::chrono::milliseconds(10))) {
    if (!admission.Acquire({}, call).ok()) ++refused;
  }
  EXPECT_NEAR(refused, 990, 2);
  EXPECT_FALSE(admission.overloaded());
}

TEST(AdmissionTest, BytesAndPixelsAreBoundedToTheLastOne) {
  Admission admission(Limits(), 1, Clock::Real());
  const Permit first = *Acquire(admission, {60, 600});
  const auto acquire = [&](AdmissionCost cost) {
    return Acquire(admission, cost, Priority::kInteractive, "another");
  };
  EXPECT_TRUE(acquire({40, 400}).ok());
  ExpectOverloaded(acquire({41, 0}), "--max-in-flight-bytes 100");
  ExpectOverloaded(acquire({0, 401}), "--max-in-flight-pixels 1000");
  EXPECT_EQ(admission.usage().requests, 1) << "a refused request takes nothing";
  EXPECT_EQ(admission.usage().bytes, 60);
  EXPECT_EQ(admission.usage().pixels, 600);
}

TEST(AdmissionTest, ARequestOverTheBudgetIsAdmittedAlone) {
  Admission admission(Limits(), 1, Clock::Real());
  {
    const Permit giant = *Acquire(admission, {500, 5000});
    ExpectOverloaded(Acquire(admission, {1, 0}), "--max-in-flight-bytes");
    ExpectOverloaded(Acquire(admission, {7, 0}, {}, "another"), "--max-in-flight-bytes");
    ExpectOverloaded(Acquire(admission, {0, 63}, {}, "another"), "--max-in-flight-pixels");
    EXPECT_TRUE(Acquire(admission, {6, 62}, {}, "another").ok()) << "a sixteenth is left";
  }
  EXPECT_EQ(admission.usage().bytes, 0);
  const Permit small = *Acquire(admission, {1, 1});
  ExpectOverloaded(Acquire(admission, {500, 0}), "--max-in-flight-bytes");
}

TEST(AdmissionTest, CeilingsGoDownAndUpButNotOverTheOptions) {
  Admission admission(Limits(), 1, Clock::Real());
  admission.SetMost(10, 100);
  EXPECT_EQ(admission.limits().max_bytes, 10);
  admission.SetMost(1'000, 500);
  EXPECT_EQ(admission.limits().max_bytes, 100);
  EXPECT_EQ(admission.limits().max_pixels, 500);
}

TEST(AdmissionTest, CostsCannotOverflow) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  Admission admission(Limits(), 1, Clock::Real());
  {
    const Permit giant = *Acquire(admission, {kMax, kMax});
    EXPECT_FALSE(Acquire(admission, {kMax, kMax}).ok());
  }
  EXPECT_EQ(admission.usage().bytes, 0);
  const Permit negative = *Acquire(admission, {-5, -5});
  EXPECT_EQ(admission.usage().bytes, 0) << "a negative cost buys no room";
  EXPECT_EQ(admission.usage().pixels, 0);
}

TEST(AdmissionTest, APermitReturnsItsCostOnce) {
  Admission admission(Limits(), 1, Clock::Real());
  Permit a = *Acquire(admission, {10, 100});
  Permit b = std::move(a);
  a.Release();  // NOLINT(bugprone-use-after-move): what a moved-from permit does is the point
  EXPECT_EQ(admission.usage().requests, 1) << "the moved-from permit holds nothing";
  b.Release();
  b.Release();
  EXPECT_EQ(admission.usage().requests, 0);
  EXPECT_EQ(admission.usage().bytes, 0);
  EXPECT_EQ(admission.usage().pixels, 0);
}

TEST(AdmissionTest, AssignmentReturnsWhatThePermitHeld) {
  Admission admission(Limits(), 1, Clock::Real());
  Permit a = *Acquire(admission, {10, 100});
  Permit b = *Acquire(admission, {20, 200});
  a = std::move(b);
  EXPECT_EQ(admission.usage().requests, 1);
  EXPECT_EQ(admission.usage().bytes, 20);
  Permit& self = a;
  a = std::move(self);
  EXPECT_EQ(admission.usage().bytes, 20) << "self-assignment keeps it";
}

TEST(AdmissionTest, AfterCloseAllIsRefusedAsDraining) {
  Admission admission(Limits(), 1, Clock::Real());
  const Permit held = *Acquire(admission, {});
  admission.Close();
  const auto refused = Acquire(admission, {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(GetErrorDetails(refused.status())->reason, ErrorReason::kDraining);
  EXPECT_EQ(admission.usage().requests, 1) << "what is in flight stays";
}

TEST(AdmissionTest, WaitUntilIdle) {
  Admission admission(Limits(), 1, Clock::Real());
  EXPECT_TRUE(admission.WaitUntilIdle(absl::ZeroDuration()));
  Permit held = *Acquire(admission, {});
  EXPECT_FALSE(admission.WaitUntilIdle(absl::ZeroDuration()));
  std::thread finisher([permit = std::move(held)]() mutable { permit.Release(); });
  EXPECT_TRUE(admission.WaitUntilIdle(absl::InfiniteDuration()));
  finisher.join();
}

TEST(AdmissionTest, ManyThreadsNeverExceedTheBounds) {
  Admission admission(Limits(), 1, Clock::Real());
  std::atomic<int> in_flight{0};
  std::atomic<int> admitted{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5'000; ++i) {
        const auto permit = Acquire(admission, {30, 100});
        if (!permit.ok()) continue;
        admitted.fetch_add(1);
        EXPECT_LE(in_flight.fetch_add(1) + 1, 3);
        in_flight.fetch_sub(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(admitted.load(), 0);
  EXPECT_EQ(admission.usage().requests, 0);
  EXPECT_EQ(admission.usage().bytes, 0);
}

AdmissionLimits Wide() {
  AdmissionLimits limits;
  limits.max_requests = 32;
  limits.max_bytes = 1000;
  limits.max_pixels = 10'000;
  return limits;
}

TEST(AdmissionTest, BulkLeavesAQuarterOfEachCeiling) {
  Admission admission(Wide(), 1, Clock::Real());
  std::vector<Permit> permits;
  for (int i = 0; i < 24; ++i) {
    permits.push_back(*Acquire(admission, {}, Priority::kBulk, Concat(i % 2)));
  }
  ExpectFull(Acquire(admission, {}, Priority::kBulk, "c"),
             "for bulk work, three quarters of all (--max-in-flight-requests 32)");
  for (int i = 0; i < 8; ++i) {
    permits.push_back(*Acquire(admission, {}, Priority::kInteractive, "c"));
  }
  ExpectFull(Acquire(admission, {}, Priority::kInteractive, "d"),
             "for all (--max-in-flight-requests 32)");
  permits.clear();
  const Permit bulk = *Acquire(admission, {500, 5000}, Priority::kBulk);
  ExpectFull(Acquire(admission, {251, 0}, Priority::kBulk), "--max-in-flight-bytes 1000");
  ExpectFull(Acquire(admission, {0, 2501}, Priority::kBulk), "--max-in-flight-pixels 10000");
  EXPECT_TRUE(Acquire(admission, {500, 5000}, Priority::kInteractive, "a").ok());
}

TEST(AdmissionTest, OneCallerLeavesASixteenthToOthers) {
  Admission admission(Wide(), 1, Clock::Real());
  std::vector<Permit> permits;
  for (int i = 0; i < 30; ++i) {
    permits.push_back(*Acquire(admission, {}, Priority::kInteractive, "a"));
  }
  ExpectFull(Acquire(admission, {}, Priority::kInteractive, "a"),
             "for one caller, fifteen sixteenths of all (--max-in-flight-requests 32)");
  EXPECT_TRUE(Acquire(admission, {}, Priority::kInteractive, "b").ok());
}

TEST(AdmissionTest, OneCallerLeavesASixteenthOfBytesAndPixelsToOthers) {
  Admission admission(Wide(), 1, Clock::Real());
  const auto acquire = [&](AdmissionCost cost, const std::string& caller) {
    return Acquire(admission, cost, Priority::kInteractive, caller);
  };
  const Permit most = *acquire({900, 9000}, "a");
  ExpectFull(acquire({39, 0}, "a"), "--max-in-flight-bytes");
  ExpectFull(acquire({0, 376}, "a"), "--max-in-flight-pixels");
  EXPECT_TRUE(acquire({38, 375}, "a").ok());
  EXPECT_TRUE(acquire({100, 1000}, "b").ok());
}

// What is ahead of a call is what goes before it: its caller's own work, and as much of others'.
TEST(AdmissionTest, ABacklogOfOneCallerIsNotAheadOfAnothersCall) {
  FakeClock clock;
  Admission admission(Wide(), 1, &clock);
  std::vector<Permit> permits;
  const auto acquire = [&](const std::string& caller, double seconds, int images,
                           Priority priority = Priority::kInteractive) {
    const CallContext call(clock.Now() + std::chrono::seconds(1), priority, caller);
    auto permit = admission.Acquire({.images = images, .seconds = seconds}, call);
    const absl::Status status = permit.status();
    if (status.ok()) permits.push_back(*std::move(permit));
    return status;
  };
  ASSERT_TRUE(acquire("greedy", 50, 10).ok());
  EXPECT_THAT(std::string(acquire("greedy", 0.1, 1).message()), HasSubstr("50s before it"));
  EXPECT_TRUE(acquire("modest", 0.1, 1).ok());
  EXPECT_THAT(std::string(acquire("modest", 0.7, 1).message()), HasSubstr("900ms before it"))
      << "0.1 s of its own, and 0.8 s of the other's";
  EXPECT_THAT(std::string(acquire("bulk", 0.1, 1, Priority::kBulk).message()),
              HasSubstr("50.1s before it"));
}

TEST(AdmissionTest, WhatCannotBeDoneInTimeIsRefusedOnArrival) {
  FakeClock clock;
  Admission admission(Wide(), 1, &clock);
  const auto acquire = [&](TimeDuration left) {
    return admission.Acquire({.seconds = 0.1}, CallContext(clock.Now() + left));
  };
  const auto alone = acquire(std::chrono::milliseconds(1));
  EXPECT_TRUE(alone.ok()) << "nothing is ahead: the attempt is all there is";
  const auto second = acquire(std::chrono::seconds(1));
  EXPECT_TRUE(second.ok());
  const auto late = acquire(std::chrono::milliseconds(300));
  ExpectFull(late, "would come too late");
  EXPECT_THAT(std::string(late.status().message()), HasSubstr("200ms before it"));
  EXPECT_EQ(admission.MayArrive(CallContext(clock.Now() + std::chrono::milliseconds(200))).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_TRUE(admission.MayArrive(CallContext(clock.Now() + std::chrono::seconds(1))).ok());
  admission.Done(CallContext(clock.Now()), 0.1, /*worked=*/true, 0);
  EXPECT_TRUE(acquire(std::chrono::milliseconds(300)).ok());
}

TEST(AdmissionTest, WorkThatIsTakenOverCountsUntilItIsDone) {
  FakeClock clock;
  AdmissionLimits limits = Wide();
  limits.max_pixels = 100;
  Admission admission(limits, 1, &clock);
  const CallContext call(clock.Now() + std::chrono::hours(1), Priority::kBulk, "a");
  Permit permit = *admission.Acquire({.images = 0}, call);
  EXPECT_EQ(admission.usage().pixels, 0);
  admission.TakeOver(&permit, {.pixels = 90, .seconds = 9}, call);
  EXPECT_EQ(admission.usage().pixels, 90);
  EXPECT_FALSE(admission.Acquire({.pixels = 20}, call).ok());
  const CallContext bulk(clock.Now() + std::chrono::seconds(1), Priority::kBulk, "a");
  EXPECT_FALSE(admission.MayArrive(bulk).ok()) << "nine seconds are ahead";
  EXPECT_TRUE(admission.Acquire({.images = 0}, bulk).ok()) << "what takes no work waits for none";
  admission.Done(call, 9, /*worked=*/true, 0);
  EXPECT_TRUE(admission.MayArrive(bulk).ok());
  permit.Release();
  EXPECT_EQ(admission.usage().pixels, 0);
}

TEST(AdmissionTest, AfterACeilingTheLimitIsShort) {
  FakeClock clock;
  Admission admission(Wide(), 1, &clock);
  std::vector<Permit> permits;
  const auto acquire = [&](const std::string& caller) {
    auto permit = admission.Acquire({}, CallContext(TimePoint::max(), {}, caller));
    const absl::Status status = permit.status();
    if (status.ok()) permits.push_back(*std::move(permit));
    return status;
  };
  for (int i = 0; i < 32; ++i) ASSERT_TRUE(acquire(Concat(i % 2)).ok());
  EXPECT_FALSE(admission.overloaded());
  EXPECT_FALSE(acquire("a").ok());
  ASSERT_TRUE(admission.overloaded());
  const int limit = admission.image_limit();
  EXPECT_LT(limit, 16);
  for (int i = 0; i < 32 - limit; ++i) {
    admission.Done(CallContext(TimePoint::max(), {}, Concat(i % 2)), 0, true, 0);
    permits.pop_back();
  }
  EXPECT_THAT(std::string(acquire("0").message()), HasSubstr(Concat(limit, " at a time")));
  EXPECT_TRUE(acquire("modest").ok()) << "who has nothing has a share";
  clock.Advance(std::chrono::seconds(4));
  EXPECT_FALSE(admission.overloaded()) << "nothing was refused for a while";
  EXPECT_TRUE(acquire("0").ok());
}

}  // namespace
}  // namespace pixpool
