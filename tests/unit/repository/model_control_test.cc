#include "server/repository/model_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "tests/unit/repository/fake_bundles.h"

namespace pixpool {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ModelControlTest : public ::testing::Test {
 protected:
  void Start(std::string_view control, int poll_seconds = 15) {
    Put("net/1");
    RepositoryOptions options;
    options.models_dir = models_.path().string();
    options.control = std::string(control);
    options.poll_seconds = poll_seconds;
    options.idle_seconds = idle_seconds_;
    repository_ = std::make_unique<ModelRepository>(
        options, RepositoryDeps{.registry = &registry_,
                                .metrics = &metrics_,
                                .clock = &clock_,
                                .load =
                                    [this](const BundleLocation& at, const Model*) {
                                      if (during_load_) during_load_();
                                      return LoadFake(at);
                                    },
                                .share_memory =
                                    [this](const MemoryNeed& need) {
                                      return need.bundle_bytes <= room_
                                                 ? absl::OkStatus()
                                                 : absl::FailedPreconditionError("no room");
                                    },
                                .forget = [this](const Model&) { return forget_(); },
                                .changed = [] {}});
    control_ = std::make_unique<ModelControl>(options, repository_.get(), &cold_calls_, &clock_);
    ASSERT_TRUE(repository_->Start().ok());
    ASSERT_TRUE(repository_->LoadFirst().ok());
  }

  void Put(const std::string& version, const std::string& manifest = "{}") {
    WriteFile(models_.path() / version / "manifest.json", manifest);
  }
  ModelControl::Done Note() {
    return [this](const absl::Status& status) { answers_.push_back(status); };
  }
  ErrorReason Reason() { return DetailsOf(answers_.back()).reason; }
  std::string Serving() const {
    std::string text;
    for (const ModelEntry& entry : registry_.List()) {
      if (entry.state == ModelState::kReady) text += entry.version;
    }
    return text;
  }
  void WorkAfter(std::chrono::milliseconds time) {
    clock_.Advance(time);
    control_->Work();
  }

  TempDir models_;
  ModelRegistry registry_{""};
  Metrics metrics_;
  FakeClock clock_;
  std::function<void()> during_load_;
  std::function<bool()> forget_ = [] { return true; };
  int64_t room_ = 1 << 20;
  int idle_seconds_ = 0;
  std::vector<absl::Status> answers_;
  std::shared_ptr<CallContext> call_ = std::make_shared<CallContext>(TimePoint::max());
  Admission admission_{AdmissionLimits(), 1, &clock_};
  ColdCalls cold_calls_{&registry_, &admission_, &metrics_, &clock_,
                        [this](const ExtractRequest& request, const ExtractDone& done) {
                          served_ += request.loaded != nullptr ? 1 : 0;
                          done({});
                        }};
  std::atomic<int> served_ = 0;
  std::unique_ptr<ModelRepository> repository_;
  std::unique_ptr<ModelControl> control_;
};

TEST_F(ModelControlTest, WithoutExplicitControlCallsAreRefused) {
  for (const std::string_view control : {kNoControl, kPollControl}) {
    Start(control);
    control_->Load("net", {}, call_, Note());
    EXPECT_EQ(Reason(), ErrorReason::kModelControlOff);
    EXPECT_THAT(std::string(answers_.back().message()),
                AllOf(HasSubstr("--model-control"), HasSubstr("explicit they may")));
    control_->Unload("net", call_, Note());
    EXPECT_EQ(Reason(), ErrorReason::kModelControlOff);
    control_->Work();
    EXPECT_EQ(Serving(), "1");
  }
}

TEST_F(ModelControlTest, OrdersAreAnsweredWhenTheyAreDone) {
  Start(kExplicitControl);
  Put("net/2");
  control_->Load("net", {}, call_, Note());
  control_->Unload("net", call_, Note());
  control_->Load("other", {}, call_, Note());
  EXPECT_THAT(answers_, IsEmpty());
  control_->Work();
  EXPECT_THAT(answers_, ElementsAre(absl::OkStatus()));
  EXPECT_EQ(Serving(), "12");
  control_->Work();
  EXPECT_EQ(answers_.size(), 2u);
  EXPECT_EQ(Serving(), "");
  EXPECT_EQ(control_->Unloaded().size(), 2u);
  control_->Work();
  EXPECT_EQ(Reason(), ErrorReason::kModelNotFound);
}

TEST_F(ModelControlTest, TooManyThatWaitAreRefused) {
  Start(kExplicitControl);
  for (int i = 0; i < 100; ++i) control_->Load("net", {}, call_, Note());
  ASSERT_FALSE(answers_.empty());
  EXPECT_EQ(Reason(), ErrorReason::kOverloaded);
  EXPECT_GT(DetailsOf(answers_.back()).retry_after, absl::ZeroDuration());
}

TEST_F(ModelControlTest, OrdersOfCallersThatHaveGoneAreDropped) {
  Start(kExplicitControl);
  Put("net/2");
  const auto gone = std::make_shared<CallContext>(TimePoint::max());
  for (int i = 0; i < 64; ++i) control_->Load("net", {}, gone, Note());
  gone->Cancel();
  control_->Unload("net", call_, Note());
  EXPECT_EQ(answers_.size(), 64u) << "they make room for others";
  EXPECT_EQ(Reason(), ErrorReason::kCancelled);
  control_->Load("net", {}, gone, Note());
  control_->Work();
  control_->Work();
  EXPECT_EQ(answers_.size(), 66u);
  EXPECT_EQ(Serving(), "") << "version 2 was not loaded";
}

TEST_F(ModelControlTest, ASignalHasTheFolderLookedAt) {
  Start(kNoControl);
  Put("net/2");
  control_->Work();
  EXPECT_EQ(Serving(), "1");
  control_->LookAgain();
  control_->Work();
  EXPECT_EQ(Serving(), "12");
}

TEST_F(ModelControlTest, PollingTakesWhatHasComeToRest) {
  Start(kPollControl, 15);
  control_->Work();
  WorkAfter(std::chrono::seconds(1));
  Put("net/2", "bad");
  WorkAfter(std::chrono::seconds(14));
  EXPECT_EQ(Serving(), "1") << "not yet time";
  WorkAfter(std::chrono::seconds(2));
  EXPECT_EQ(registry_.List().size(), 1u) << "seen for the first time";
  Put("net/2", "{ }");
  WorkAfter(std::chrono::seconds(1));
  EXPECT_EQ(registry_.List().size(), 1u) << "it still changes";
  WorkAfter(std::chrono::seconds(1));
  EXPECT_EQ(Serving(), "12");
}

TEST_F(ModelControlTest, AModelThatKeepsChangingHoldsUpNoOther) {
  Start(kPollControl, 1);
  for (int i = 0; i < 3; ++i) WorkAfter(std::chrono::seconds(1));
  Put("net/2");
  for (int i = 0; i < 3; ++i) {
    Put("busy/1", std::string(static_cast<size_t>(i + 2), ' '));
    WorkAfter(std::chrono::seconds(1));
  }
  EXPECT_EQ(Serving(), "12");
  for (int i = 0; i < 2; ++i) WorkAfter(std::chrono::seconds(1));
  EXPECT_EQ(Serving(), "112") << "it has come to rest";
  std::filesystem::remove_all(models_.path() / "net");
  for (int i = 0; i < 3; ++i) WorkAfter(std::chrono::seconds(1));
  EXPECT_EQ(Serving(), "1") << "one that is taken away goes";
  std::filesystem::remove_all(models_.path() / "busy");
  for (int i = 0; i < 3; ++i) WorkAfter(std::chrono::seconds(1));
  EXPECT_EQ(Serving(), "1") << "an empty folder changes nothing";
  Put("busy/2");
  for (int i = 0; i < 3; ++i) WorkAfter(std::chrono::seconds(1));
  EXPECT_EQ(Serving(), "2");
}

TEST_F(ModelControlTest, PollingTriesAgainWhatLackedRoom) {
  Start(kPollControl, 1);
  Put("net/2", "{  }");
  forget_ = [] { return false; };
  std::filesystem::remove_all(models_.path() / "net" / "1");
  for (int i = 0; i < 3; ++i) WorkAfter(std::chrono::seconds(1));
  ASSERT_EQ(Serving(), "2");
  room_ = 6;  // bytes of the manifests: two of version 1, which is not free, and four of 2
  Put("net/3", "{}");
  for (int i = 0; i < 3; ++i) WorkAfter(std::chrono::seconds(1));
  EXPECT_EQ(Serving(), "2");
  forget_ = [] { return true; };
  WorkAfter(std::chrono::milliseconds(100));
  EXPECT_EQ(Serving(), "23");
}

TEST_F(ModelControlTest, WhatThrowsEndsNothing) {
  Start(kPollControl, 1);
  Put("net/2");
  forget_ = []() -> bool { throw std::bad_alloc(); };
  std::filesystem::remove_all(models_.path() / "net" / "1");
  for (int i = 0; i < 3; ++i) WorkAfter(std::chrono::seconds(1));
  EXPECT_EQ(Serving(), "2");
  forget_ = [] { return true; };
  WorkAfter(std::chrono::seconds(1));
  EXPECT_NE(metrics_.Scrape().find("pixpool_models_leaving 0"), std::string::npos);
}

TEST_F(ModelControlTest, ACallHasAnIdleModelLoaded) {
  idle_seconds_ = 60;
  Start(kNoControl);
  WorkAfter(std::chrono::seconds(61));
  EXPECT_EQ(Serving(), "") << "it is idle";
  absl::Notification done;
  ExtractRequest request;
  request.context = std::make_shared<CallContext>(clock_.Now() + std::chrono::seconds(60));
  cold_calls_.Take(std::move(request), [&](const ExtractResult&) { done.Notify(); });
  EXPECT_FALSE(done.HasBeenNotified());
  control_->Work();
  done.WaitForNotification();
  EXPECT_EQ(served_, 1);
  EXPECT_EQ(Serving(), "1");
}

TEST_F(ModelControlTest, ClosedItAnswersAllThatWaitAndWhatIsUnderWay) {
  Start(kExplicitControl);
  Put("net/2");
  Put("net/3");
  during_load_ = [this] { control_->Close(); };
  control_->Load("net", {}, call_, Note());
  control_->Unload("net", call_, Note());
  control_->Work();
  ASSERT_EQ(answers_.size(), 2u) << "each once";
  for (const absl::Status& status : answers_) {
    EXPECT_EQ(DetailsOf(status).reason, ErrorReason::kDraining);
  }
  EXPECT_EQ(Serving(), "12") << "what was begun was finished, and no more";
  control_->Load("net", {}, call_, Note());
  EXPECT_EQ(Reason(), ErrorReason::kDraining);
}

}  // namespace
}  // namespace pixpool
