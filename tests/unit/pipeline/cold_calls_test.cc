#include "server/pipeline/cold_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Outcome {
  absl::Status status;
  const Model* model = nullptr;
  TimeDuration load_wait;
};

// Calls for a model that is idle, whose results are noted.
class ColdCallsTest : public ::testing::Test {
 protected:
  void Idle() { fake_.registry.SetIdle("fake", "1"); }
  void Wake() { fake_.registry.SetReady("fake", "1", std::make_unique<FakeModel>(1)); }

  // The context of the call.
  std::shared_ptr<CallContext> Call(std::chrono::seconds time = std::chrono::seconds(60),
                                    size_t bytes = 10) {
    auto context = std::make_shared<CallContext>(clock_.Now() + time);
    ExtractRequest request;
    auto owner = std::make_shared<std::string>(bytes, 'x');
    request.images.push_back({.encoded = *owner});
    request.owner = owner;
    request.context = context;
    cold_.Take(std::move(request), [this](const ExtractResult& result) { Note(result); });
    return context;
  }
  void Note(const ExtractResult& result) {
    absl::MutexLock lock(&mu_);
    const Model* const model = result.model == nullptr ? nullptr : result.model->model.get();
    results_.push_back({result.status, model, result.load_wait});
  }
  // Blocks until so many have their result.
  std::vector<Outcome> Results(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [this, count]()
                            ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return results_.size() >= count; };
    mu_.Await(absl::Condition(&enough));
    return results_;
  }
  ErrorReason Reason(size_t index) {
    return GetErrorDetails(Results(index + 1)[index].status)->reason;
  }
  static ModelKey Key() { return {"fake", "1"}; }

  FakeClock clock_;
  Metrics metrics_;
  FakeRegistry fake_{&metrics_};
  AdmissionLimits limits_ = [] {
    AdmissionLimits limits;
    limits.max_requests = 16;
    limits.max_bytes = 8000;
    return limits;
  }();
  Admission admission_{limits_, 1, &clock_};
  absl::Mutex mu_;
  std::vector<Outcome> results_ ABSL_GUARDED_BY(mu_);
  // Answers with the request's model; as the pipeline, says why there is none.
  ColdCalls cold_{&fake_.registry, &admission_, &metrics_, &clock_,
                  [this](const ExtractRequest& request, const ExtractDone& done) {
                    ExtractResult result;
                    result.model = request.loaded;
                    if (result.model == nullptr) {
                      result.status = fake_.registry.Get(request.model, request.version).status();
                    }
                    done(std::move(result));
                  }};
};

TEST_F(ColdCallsTest, CallsForWhatIsLoadedGoOnAtOnce) {
  Call();
  EXPECT_EQ(Results(1)[0].model, fake_.model);
  EXPECT_EQ(Results(1)[0].load_wait, TimeDuration::zero());
  EXPECT_THAT(cold_.TakeWanted(), IsEmpty());
}

TEST_F(ColdCallsTest, OneLoadIsForAllThatWait) {
  Idle();
  Call();
  clock_.Advance(std::chrono::seconds(2));
  Call();
  EXPECT_EQ(cold_.waiting(), 2);
  EXPECT_THAT(cold_.TakeWanted(), ElementsAre(Key()));
  Call();
  EXPECT_THAT(cold_.TakeWanted(), IsEmpty()) << "it is being loaded";
  metrics_.SetModel("fake", "1", "fake", "cpu", "float32", true, 1);
  Wake();
  clock_.Advance(std::chrono::seconds(1));
  cold_.Loaded(Key());
  const std::vector<Outcome> results = Results(3);
  for (const Outcome& result : results) EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(results[0].load_wait, std::chrono::seconds(3)) << "in the order of their coming";
  EXPECT_EQ(results[1].load_wait, std::chrono::seconds(1));
  EXPECT_EQ(cold_.waiting(), 0);
  EXPECT_EQ(admission_.held_bytes(), 0);
  const std::string metrics = metrics_.Scrape();
  EXPECT_THAT(metrics, HasSubstr("pixpool_model_call_loads_total{model=\"fake\","
                                 "outcome=\"ready\",version=\"1\"} 1"));
  EXPECT_THAT(metrics, HasSubstr("pixpool_model_cold_start_duration_seconds_sum{model=\"fake\","
                                 "version=\"1\"} 3"));
}

TEST_F(ColdCallsTest, AllHearWhyItCouldNotBeLoaded) {
  Idle();
  Call();
  Call();
  cold_.TakeWanted();
  fake_.registry.EndIdle("fake", "1");
  fake_.registry.SetFailed("fake", "1", "digest differs");
  cold_.Loaded(Key());
  for (const Outcome& result : Results(2)) {
    EXPECT_THAT(std::string(result.status.message()), HasSubstr("digest differs"));
  }
}

TEST_F(ColdCallsTest, OneThatIsTakenAwayMeanwhileIsNotFound) {
  Idle();
  Call();
  cold_.TakeWanted();
  fake_.registry.Remove("fake", "1");
  cold_.Loaded(Key());
  EXPECT_EQ(Reason(0), ErrorReason::kModelNotFound);
}

TEST_F(ColdCallsTest, WhoGivesUpWaitsNoMore) {
  Idle();
  Call(std::chrono::seconds(5));
  const auto cancelled = Call();
  cancelled->Cancel();
  EXPECT_EQ(Reason(0), ErrorReason::kCancelled);
  clock_.Advance(std::chrono::seconds(6));
  EXPECT_EQ(Reason(1), ErrorReason::kDeadlineInQueue);
  EXPECT_EQ(cold_.waiting(), 0);
  EXPECT_THAT(cold_.TakeWanted(), IsEmpty()) << "nobody needs it any more";
  EXPECT_EQ(admission_.held_bytes(), 0);
}

TEST_F(ColdCallsTest, ACallThatIsOverDoesNotWait) {
  Idle();
  Call(std::chrono::seconds(0));
  EXPECT_EQ(Reason(0), ErrorReason::kDeadlineInQueue);
}

TEST_F(ColdCallsTest, NoMoreWaitThanAQuarterOfTheRequests) {
  Idle();
  for (int i = 0; i < 5; ++i) Call();
  EXPECT_EQ(Reason(0), ErrorReason::kOverloaded);
  EXPECT_GT(GetErrorDetails(Results(1)[0].status)->retry_after, absl::ZeroDuration());
  EXPECT_EQ(cold_.waiting(), 4);
  Wake();
  Call();
  EXPECT_TRUE(Results(2)[1].status.ok()) << "calls for what is loaded are not held up";
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("pixpool_requests_shed_total{priority=\"interactive\","
                                           "reason=\"OVERLOADED\""));
}

TEST_F(ColdCallsTest, NorMoreThanAnEighthOfTheBytes) {
  Idle();
  Call(std::chrono::seconds(60), 1500);
  EXPECT_EQ(cold_.waiting(), 1) << "more than that, but alone";
  Call();
  EXPECT_EQ(Reason(0), ErrorReason::kOverloaded);
  EXPECT_EQ(admission_.held_bytes(), 1500);
}

TEST_F(ColdCallsTest, ClosedNobodyWaits) {
  Idle();
  Call();
  cold_.Close();
  EXPECT_EQ(Reason(0), ErrorReason::kDraining);
  Call();
  EXPECT_EQ(Reason(1), ErrorReason::kDraining);
  EXPECT_EQ(cold_.waiting(), 0);
}

}  // namespace
}  // namespace pixpool
