#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "server/repository/model_repository.h"
#include "tests/unit/model/fixtures.h"
#include "tests/unit/repository/fake_bundles.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::chrono::seconds kIdle(60);

// Models that nobody used for a while, at versions of "net".
class IdleModelsTest : public ::testing::Test {
 protected:
  void Start() {
    options_.models_dir = models_.path().string();
    options_.idle_seconds = static_cast<int>(kIdle.count());
    repository_ = std::make_unique<ModelRepository>(
        options_,
        RepositoryDeps{.registry = &registry_,
                       .metrics = &metrics_,
                       .clock = &clock_,
                       .load =
                           [this](const BundleLocation& at, const Model*) {
                             loads_.push_back(at.version);
                             return LoadFake(at);
                           },
                       .share_memory =
                           [this](const MemoryNeed& need) {
                             needs_.push_back(need);
                             return need.bundle_bytes + need.pass_bytes <= room_
                                        ? absl::OkStatus()
                                        : absl::FailedPreconditionError("too little memory");
                           },
                       .forget = [](const Model&) { return true; },
                       .changed = [] {}});
    ASSERT_TRUE(repository_->Start().ok());
    ASSERT_TRUE(repository_->LoadFirst().ok());
    loads_.clear();
  }
  void Put(const std::string& version, const std::string& manifest = "{}") {
    WriteFile(models_.path() / "net" / version / "manifest.json", manifest);
  }
  void After(TimeDuration time) {
    clock_.Advance(time);
    repository_->TendIdle();
    repository_->FreeWhatIsLeft();
  }
  void Load(const std::string& version = "1") { repository_->LoadIdle({"net", version}); }
  ModelState StateOf(const std::string& version) const {
    return registry_.Find("net", version)->state;
  }

  TempDir models_;
  RepositoryOptions options_;
  ModelRegistry registry_{""};
  Metrics metrics_;
  FakeClock clock_;
  std::vector<std::string> loads_;  // versions
  std::vector<MemoryNeed> needs_;
  int64_t room_ = 1 << 20;
  std::unique_ptr<ModelRepository> repository_;
};

TEST_F(IdleModelsTest, WhatNoCallUsesIsFreedAndComesBack) {
  Put("1");
  Start();
  const std::weak_ptr<Model> model = (*registry_.Get("net", ""))->model;
  After(kIdle - std::chrono::seconds(1));
  After(std::chrono::seconds(1));
  EXPECT_EQ(StateOf("1"), ModelState::kReady) << "the call was seen at the first look";
  After(kIdle);
  EXPECT_EQ(StateOf("1"), ModelState::kIdle);
  EXPECT_TRUE(model.expired());
  EXPECT_EQ(needs_.back().bundle_bytes, 0) << "its memory is for others";
  EXPECT_THAT(metrics_.Scrape(),
              AllOf(HasSubstr(R"(pixpool_model_ready{model="net",version="1"} 1)"),
                    HasSubstr(R"(pixpool_model_idle{model="net",version="1"} 1)"),
                    HasSubstr(R"(pixpool_model_idle_unloads_total{model="net",version="1"} 1)")));
  Load();
  EXPECT_THAT(loads_, ElementsAre("1"));
  EXPECT_TRUE(registry_.Get("net", "").ok());
  EXPECT_THAT(metrics_.Scrape(), HasSubstr(R"(pixpool_model_idle{model="net",version="1"} 0)"));
  Load();
  EXPECT_EQ(loads_.size(), 1u) << "it is there";
}

TEST_F(IdleModelsTest, ACallKeepsItHoweverLongItTakes) {
  Put("1");
  Start();
  auto call = *registry_.Get("net", "");
  After(std::chrono::seconds(1));
  After(5 * kIdle);
  EXPECT_EQ(StateOf("1"), ModelState::kReady);
  call = nullptr;
  After(kIdle - std::chrono::seconds(1));
  EXPECT_EQ(StateOf("1"), ModelState::kReady) << "from its end on";
  After(std::chrono::seconds(1));
  EXPECT_EQ(StateOf("1"), ModelState::kIdle);
}

TEST_F(IdleModelsTest, WithoutTheOptionNothingIsFreed) {
  Put("1");
  Start();
  options_.idle_seconds = 0;
  ModelRepository other(
      options_, {.registry = &registry_,
                 .metrics = &metrics_,
                 .clock = &clock_,
                 .load = [](const BundleLocation& at, const Model*) { return LoadFake(at); },
                 .share_memory = [](const MemoryNeed&) { return absl::OkStatus(); },
                 .forget = [](const Model&) { return true; },
                 .changed = [] {}});
  ASSERT_TRUE(other.Start().ok());
  ASSERT_TRUE(other.LoadFirst().ok());
  clock_.Advance(100 * kIdle);
  other.TendIdle();
  EXPECT_EQ(StateOf("1"), ModelState::kReady);
}

TEST_F(IdleModelsTest, LooksLeaveAnIdleModelAloneAndAnOrderLoadsIt) {
  Put("1");
  Start();
  After(kIdle);
  ASSERT_TRUE(repository_->Look(/*again=*/true).ok());
  EXPECT_THAT(loads_, IsEmpty());
  EXPECT_EQ(StateOf("1"), ModelState::kIdle);
  ASSERT_TRUE(repository_->LoadModel("net", {}).ok());
  EXPECT_EQ(StateOf("1"), ModelState::kReady) << "who has it loaded wants it in memory";
  After(kIdle);
  ASSERT_TRUE(repository_->UnloadModel("net").ok());
  Load();
  EXPECT_FALSE(registry_.Find("net", "1").ok()) << "it stays away";
  EXPECT_EQ(loads_.size(), 1u);
}

TEST_F(IdleModelsTest, OtherContentOfAnIdleVersionIsLoadedByALook) {
  Put("1");
  Start();
  After(kIdle);
  Put("1", "{ }");
  ASSERT_TRUE(repository_->Look(/*again=*/false).ok());
  EXPECT_EQ(StateOf("1"), ModelState::kReady);
}

TEST_F(IdleModelsTest, WhatCouldNotComeBackStays) {
  Put("1");
  Start();
  fs::remove_all(models_.path() / "net" / "1");
  After(kIdle);
  EXPECT_EQ(StateOf("1"), ModelState::kReady);
  Put("1", "{other}");
  After(kIdle);
  EXPECT_EQ(StateOf("1"), ModelState::kReady);
  Put("1");
  After(kIdle);
  EXPECT_EQ(StateOf("1"), ModelState::kIdle);
}

TEST_F(IdleModelsTest, OneThatCannotBeLoadedSaysWhyAndIsTriedAgainByItself) {
  Put("1");
  Start();
  After(kIdle);
  Put("1", "bad");
  Load();
  EXPECT_EQ(StateOf("1"), ModelState::kFailed);
  EXPECT_THAT(registry_.Find("net", "1")->message, HasSubstr("it is bad"));
  EXPECT_THAT(metrics_.Scrape(),
              AllOf(HasSubstr(R"(pixpool_model_ready{model="net",version="1"} 0)"),
                    HasSubstr(R"(pixpool_model_idle{model="net",version="1"} 0)")));
  Put("1");
  After(std::chrono::seconds(4));
  EXPECT_EQ(loads_.size(), 1u);
  After(std::chrono::seconds(1));
  EXPECT_EQ(StateOf("1"), ModelState::kReady);
}

TEST_F(IdleModelsTest, TriesBecomeRarer) {
  Put("1");
  Start();
  After(kIdle);
  Put("1", "bad");
  Load();
  for (int second = 0; second < 4000; ++second) After(std::chrono::seconds(1));
  // After 5, 10, 20, 40, 80 and 160 seconds, and then every five minutes.
  EXPECT_EQ(loads_.size(), 1u + 6 + (4000 - 315) / 300);
}

TEST_F(IdleModelsTest, ItComesBackWhenThereIsRoomForIt) {
  Put("1", "usual 100");
  Start();
  After(kIdle);
  room_ = 108;
  needs_.clear();
  Load();
  EXPECT_THAT(loads_, IsEmpty()) << "known before";
  EXPECT_EQ(needs_.front().bundle_bytes, 9);
  EXPECT_EQ(needs_.front().pass_bytes, 100);
  EXPECT_EQ(StateOf("1"), ModelState::kFailed);
  room_ = 109;
  After(std::chrono::seconds(5));
  EXPECT_EQ(StateOf("1"), ModelState::kReady);
}

TEST_F(IdleModelsTest, EachVersionGoesByItself) {
  Put("1");
  Put("2");
  Start();
  After(kIdle - std::chrono::seconds(1));
  EXPECT_TRUE(registry_.Get("net", "1").ok());
  After(std::chrono::seconds(1));
  EXPECT_EQ(StateOf("1"), ModelState::kReady);
  EXPECT_EQ(StateOf("2"), ModelState::kIdle);
  EXPECT_EQ(registry_.Find("net", "")->version, "2") << "it is the default as before";
  Load("2");
  EXPECT_EQ(StateOf("2"), ModelState::kReady);
}

TEST_F(IdleModelsTest, ClosedNothingIsLoadedOrFreed) {
  Put("1");
  Start();
  After(kIdle);
  repository_->Close();
  Load();
  EXPECT_EQ(StateOf("1"), ModelState::kIdle);
  EXPECT_THAT(loads_, IsEmpty());
}

}  // namespace
}  // namespace pixpool
