#include "server/repository/model_repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "server/base/text.h"
#include "tests/unit/model/fixtures.h"
#include "tests/unit/repository/fake_bundles.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A manifest that says "bad" cannot be loaded.
class ModelRepositoryTest : public ::testing::Test {
 protected:
  fs::path Path(const std::string& below) const { return models_.path() / below; }
  void Put(const std::string& version, const std::string& manifest = "{}") {
    WriteFile(Path(version) / "manifest.json", manifest);
  }
  void PutSettings(const std::string& model, const std::string& json) {
    WriteFile(Path(model) / kVersionSettingsFile, json);
  }
  void Remove(const std::string& path) { fs::remove_all(Path(path)); }

  ModelRepository& repository() {
    options_.models_dir = models_.path().string();
    return repository_at_options();
  }
  ModelRepository& repository_at_options() {
    if (repository_ == nullptr) {
      repository_ = std::make_unique<ModelRepository>(
          options_,
          RepositoryDeps{.registry = &registry_,
                         .metrics = &metrics_,
                         .clock = &clock_,
                         .load = [this](const BundleLocation& at,
                                        const Model* like) { return Load(at, like); },
                         .share_memory = [this](const MemoryNeed& need) { return Share(need); },
                         .forget =
                             [this](const Model& model) {
                               forgotten_.push_back(model.info().version);
                               return forgets_;
                             },
                         .changed = [this] { ++changes_; }});
    }
    return *repository_;
  }

  absl::Status Start() {
    const absl::Status status = repository().Start();
    return status.ok() ? repository().LoadFirst() : status;
  }
  void Look() {
    loads_.clear();
    repository().Look(/*again=*/true).IgnoreError();
    repository().FreeWhatIsLeft();
  }

  // "net 1, net 2*": the versions that are ready, with a star those of requests without one.
  std::string Serving() const {
    std::string text;
    for (const ModelEntry& entry : registry_.List()) {
      if (entry.state != ModelState::kReady) continue;
      const auto unnamed = registry_.Find(entry.name, "");
      text += Concat(text.empty() ? "" : ", ", entry.name, " ", entry.version,
                     unnamed.ok() && unnamed->version == entry.version ? "*" : "");
    }
    return text;
  }
  std::string Message(const std::string& name, const std::string& version) const {
    const auto entry = registry_.Find(name, version);
    return entry.ok() ? entry->message : "none";
  }

  TempDir models_;
  RepositoryOptions options_;
  ModelRegistry registry_{""};
  Metrics metrics_;
  FakeClock clock_;
  std::vector<std::string> loads_;      // "net/1", "net/2 like 1"
  std::vector<std::string> forgotten_;  // versions
  std::function<void(const BundleLocation&)> during_load_;
  bool forgets_ = true;
  int changes_ = 0;
  int64_t room_ = 1 << 20;
  std::vector<MemoryNeed> needs_;
  std::unique_ptr<ModelRepository> repository_;

 private:
  absl::StatusOr<std::unique_ptr<Model>> Load(const BundleLocation& at, const Model* like) {
    EXPECT_EQ(repository_->loading(), Concat(at.name, " ", at.version));
    if (during_load_) during_load_(at);
    loads_.push_back(Concat(at.name, "/", at.version,
                            like == nullptr ? "" : Concat(" like ", like->info().version)));
    return LoadFake(at);
  }
  absl::Status Share(const MemoryNeed& need) {
    needs_.push_back(need);
    return need.bundle_bytes + need.pass_bytes <= room_
               ? absl::OkStatus()
               : absl::FailedPreconditionError("too little memory");
  }
};

TEST_F(ModelRepositoryTest, AnEmptyFolderSaysHowToFillIt) {
  const absl::Status status = Start();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("python -m pixpool.export"), HasSubstr("--models-dir")));
}

TEST_F(ModelRepositoryTest, VersionsAreLoadingUntilTheyAreReady) {
  Put("net/1");
  Put("net/2");
  ASSERT_TRUE(repository().Start().ok());
  EXPECT_EQ(registry_.Find("net", "1")->state, ModelState::kLoading);
  EXPECT_EQ(Serving(), "");
  ASSERT_TRUE(repository().LoadFirst().ok());
  EXPECT_EQ(Serving(), "net 1, net 2*");
  EXPECT_EQ(repository().loading(), "");
  EXPECT_GT(changes_, 0);
  EXPECT_THAT(metrics_.Scrape(),
              AllOf(HasSubstr(R"(pixpool_model_ready{model="net",version="2"} 1)"),
                    HasSubstr(R"(pixpool_model_loads_total{outcome="ready"} 2)")));
}

TEST_F(ModelRepositoryTest, OneBadVersionKeepsOnlyItselfFromServing) {
  Put("good/1");
  Put("net/1");
  Put("net/2", "bad");
  EXPECT_TRUE(Start().ok());
  EXPECT_EQ(Serving(), "good 1*, net 1*");
  EXPECT_THAT(Message("net", "2"),
              AllOf(HasSubstr("bundle net/2: it is bad"), Not(HasSubstr(models_.path().string()))));
  EXPECT_THAT(metrics_.Scrape(),
              AllOf(HasSubstr(R"(pixpool_model_ready{model="net",version="2"} 0)"),
                    HasSubstr(R"(pixpool_model_loads_total{outcome="failed"} 1)")));
}

TEST_F(ModelRepositoryTest, StrictModelsEndTheStart) {
  options_.strict = true;
  Put("net/1");
  Put("net/2", "bad");
  const absl::Status status = Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("model net version 2: "));
  EXPECT_THAT(loads_, ElementsAre("net/1", "net/2")) << "all are tried";
}

TEST_F(ModelRepositoryTest, NothingThatServesEndsTheStartToo) {
  Put("net/1", "bad");
  EXPECT_TRUE(absl::IsFailedPrecondition(Start()));
}

TEST_F(ModelRepositoryTest, ANewVersionIsLoadedBesideTheOldOne) {
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  Look();
  EXPECT_THAT(loads_, IsEmpty()) << "nothing is new";
  Put("net/2");
  Look();
  EXPECT_THAT(loads_, ElementsAre("net/2 like 1"));
  EXPECT_EQ(Serving(), "net 1, net 2*");
}

TEST_F(ModelRepositoryTest, OfTheLatestTheOldOneGoesWithItsLastCall) {
  options_.versions = "latest:1";
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  auto call = *registry_.Get("net", "");
  const std::weak_ptr<Model> old = call->model;
  Put("net/2");
  Look();
  EXPECT_EQ(Serving(), "net 2*");
  EXPECT_THAT(metrics_.Scrape(), AllOf(HasSubstr("pixpool_models_leaving 1"),
                                       Not(HasSubstr(R"(model="net",version="1")"))));
  EXPECT_THAT(forgotten_, IsEmpty());
  forgets_ = false;
  call = nullptr;
  repository().FreeWhatIsLeft();
  EXPECT_THAT(forgotten_, ElementsAre("1"));
  EXPECT_FALSE(old.expired()) << "a thread still has something of it";
  forgets_ = true;
  repository().FreeWhatIsLeft();
  EXPECT_TRUE(old.expired());
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("pixpool_models_leaving 0"));
}

TEST_F(ModelRepositoryTest, ABadVersionLeavesTheOldOneServing) {
  options_.versions = "latest:1";
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  Put("net/2", "bad");
  Look();
  EXPECT_EQ(Serving(), "net 1*");
  EXPECT_THAT(Message("net", "2"), HasSubstr("it is bad"));
  Look();
  EXPECT_THAT(loads_, ElementsAre("net/2 like 1")) << "who asks has it tried again";
  Put("net/2", "good now");
  Look();
  EXPECT_EQ(Serving(), "net 2*");
  EXPECT_EQ(Message("net", "2"), "");
}

TEST_F(ModelRepositoryTest, ARefusedVersionIsForgottenWithItsFolder) {
  Put("net/1");
  Put("net/2", "bad");
  ASSERT_TRUE(Start().ok());
  Remove("net/2");
  Look();
  EXPECT_EQ(Message("net", "2"), "none");
  EXPECT_THAT(metrics_.Scrape(), Not(HasSubstr(R"(model="net",version="2")")));
}

TEST_F(ModelRepositoryTest, OtherContentOfAVersionIsLoadedAnew) {
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  const std::weak_ptr<Model> old = (*registry_.Get("net", "1"))->model;
  Put("net/1", "bad");
  Look();
  EXPECT_EQ(Serving(), "net 1*");
  EXPECT_FALSE(old.expired()) << "it serves on";
  EXPECT_THAT(Message("net", "1"), HasSubstr("it is bad"));
  Put("net/1", "{}");
  Look();
  EXPECT_THAT(loads_, IsEmpty()) << "it is what serves";
  EXPECT_EQ(Message("net", "1"), "");
  Put("net/1", "better");
  Look();
  EXPECT_EQ(Serving(), "net 1*");
  EXPECT_TRUE(old.expired());
}

TEST_F(ModelRepositoryTest, SettingsNameDefaultAndAliases) {
  Put("net/1");
  Put("net/2");
  PutSettings("net", R"({"default": "stable", "aliases": {"stable": "1"}})");
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(Serving(), "net 1*, net 2");
  EXPECT_EQ(registry_.Find("net", "stable")->version, "1");
  PutSettings("net", R"({"default": "stable", "aliases": {"stable": "2"}})");
  Look();
  EXPECT_EQ(Serving(), "net 1, net 2*");
  PutSettings("net", R"({"default": "1"})");
  Look();
  EXPECT_EQ(Serving(), "net 1*, net 2") << "back again";
  EXPECT_FALSE(registry_.Find("net", "stable").ok());
  EXPECT_THAT(loads_, IsEmpty());
}

TEST_F(ModelRepositoryTest, WhatIsDefaultOrHasAnAliasServesWhateverThePolicy) {
  options_.versions = "latest:1";
  for (const char* version : {"net/1", "net/2", "net/3"}) Put(version);
  PutSettings("net", R"({"default": "2", "aliases": {"old": "1"}})");
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(Serving(), "net 1, net 2*, net 3");
  PutSettings("net", R"({"versions": ["2"]})");
  Look();
  EXPECT_EQ(Serving(), "net 2*");
}

TEST_F(ModelRepositoryTest, AnAliasStaysUntilItsNewVersionServes) {
  Put("net/1");
  PutSettings("net", R"({"versions": ["1"], "default": "a", "aliases": {"a": "1"}})");
  ASSERT_TRUE(Start().ok());
  Put("net/2", "bad");
  PutSettings("net", R"({"versions": ["2"], "default": "a", "aliases": {"a": "2"}})");
  Look();
  EXPECT_EQ(Serving(), "net 1*");
  EXPECT_EQ(registry_.Find("net", "a")->version, "1");
  PutSettings("net", R"({"versions": ["7"], "default": "a", "aliases": {"a": "7"}})");
  Look();
  EXPECT_EQ(Serving(), "net 1*") << "version 7 is not there";
  Put("net/2");
  PutSettings("net", R"({"versions": ["2"], "default": "a", "aliases": {"a": "2"}})");
  Look();
  EXPECT_EQ(Serving(), "net 2*");
}

TEST_F(ModelRepositoryTest, BadSettingsChangeNothing) {
  Put("net/1");
  Put("other/1");
  PutSettings("net", "{");
  EXPECT_TRUE(Start().ok());
  EXPECT_EQ(Serving(), "other 1*") << "a default that is not known is not guessed";
  EXPECT_THAT(Message("net", "1"), HasSubstr("net/versions.json: is not a JSON object"));
  PutSettings("net", R"({"default": "1"})");
  Look();
  EXPECT_EQ(Serving(), "net 1*, other 1*");
  EXPECT_EQ(Message("net", "1"), "");
  Put("net/2");
  PutSettings("net", "{");
  Look();
  EXPECT_EQ(Serving(), "net 1*, other 1*");
  EXPECT_THAT(Message("net", "1"), HasSubstr("versions.json")) << "it serves on and says so";
  PutSettings("net", "{}");
  Look();
  EXPECT_EQ(Serving(), "net 1, net 2*, other 1*");
  EXPECT_EQ(Message("net", "1"), "");
}

TEST_F(ModelRepositoryTest, AModelThatIsTakenAwayIsUnloaded) {
  Put("a/1");
  Put("b/1");
  ASSERT_TRUE(Start().ok());
  Remove("a");
  Look();
  EXPECT_EQ(Serving(), "b 1*");
  EXPECT_THAT(forgotten_, ElementsAre("1"));
}

TEST_F(ModelRepositoryTest, AFolderWithoutModelsChangesNothing) {
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  Remove("net");
  Look();
  EXPECT_EQ(Serving(), "net 1*") << "a volume that is gone";
  Remove("");
  Look();
  EXPECT_EQ(Serving(), "net 1*");
}

TEST_F(ModelRepositoryTest, WithoutRoomForBothTheNewOneIsNotLoaded) {
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  room_ = 3;  // bytes; each manifest has two
  Put("net/2");
  Look();
  EXPECT_THAT(loads_, IsEmpty());
  EXPECT_EQ(Serving(), "net 1*");
  EXPECT_EQ(Message("net", "2"), "too little memory");
}

TEST_F(ModelRepositoryTest, WhatCouldNotBeLoadedIsTriedAgainWhenItHasChanged) {
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  Put("net/2", "bad");
  EXPECT_FALSE(repository().Look(/*again=*/false).ok());
  loads_.clear();
  EXPECT_FALSE(repository().Look(/*again=*/false).ok()) << "as before";
  EXPECT_THAT(loads_, IsEmpty());
  WriteFile(Path("net/2") / "weights", "another file");
  EXPECT_FALSE(repository().Look(/*again=*/false).ok());
  EXPECT_THAT(loads_, ElementsAre("net/2 like 1"));
}

TEST_F(ModelRepositoryTest, AModelIsLoadedAndUnloadedByOrder) {
  Put("net/1");
  Put("net/2");
  ASSERT_TRUE(Start().ok());
  EXPECT_TRUE(repository().UnloadModel("net").ok());
  EXPECT_TRUE(repository().UnloadModel("net").ok()) << "it is";
  EXPECT_EQ(Serving(), "");
  EXPECT_EQ(repository().Unloaded().size(), 2u);
  Look();
  EXPECT_EQ(Serving(), "") << "nobody asked for it";
  EXPECT_TRUE(repository().LoadModel("net", VersionPolicy{.named = {"1"}}).ok());
  EXPECT_EQ(Serving(), "net 1*");
  EXPECT_THAT(repository().Unloaded(), IsEmpty());
  Look();
  EXPECT_EQ(Serving(), "net 1*") << "the order holds";
  EXPECT_TRUE(repository().LoadModel("net", {}).ok());
  EXPECT_EQ(Serving(), "net 1, net 2*");
}

TEST_F(ModelRepositoryTest, OrdersThatFailSayWhy) {
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  for (const absl::Status& unknown :
       {repository().LoadModel("nett", {}), repository().UnloadModel("nett")}) {
    EXPECT_EQ(DetailsOf(unknown).reason, ErrorReason::kModelNotFound);
    EXPECT_EQ(DetailsOf(unknown).field, "model_name");
  }
  const absl::Status missing = repository().LoadModel("net", VersionPolicy{.named = {"7"}});
  EXPECT_EQ(DetailsOf(missing).reason, ErrorReason::kModelNotLoaded);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("not there: 7"));
  EXPECT_EQ(Serving(), "net 1*");
  EXPECT_TRUE(repository().Look(/*again=*/true).ok()) << "what failed is not to be done again";
  Put("net/2", "bad");
  const absl::Status bad = repository().LoadModel("net", {});
  EXPECT_EQ(DetailsOf(bad).reason, ErrorReason::kModelNotLoaded);
  EXPECT_THAT(std::string(bad.message()),
              AllOf(HasSubstr("model net version 2: bundle net/2: it is bad"),
                    Not(HasSubstr(models_.path().string()))));
}

TEST_F(ModelRepositoryTest, WhereModelsMayComeLaterTheStartNeedsNone) {
  options_.control = std::string(kPollControl);
  EXPECT_TRUE(Start().ok());
  EXPECT_EQ(Serving(), "");
  Put("net/1");
  Look();
  EXPECT_EQ(Serving(), "net 1*");
}

TEST_F(ModelRepositoryTest, StrictModelsMayComeLaterToo) {
  options_.control = std::string(kExplicitControl);
  options_.strict = true;
  EXPECT_TRUE(Start().ok());
  Put("net/1", "bad");
  repository_ = nullptr;
  EXPECT_FALSE(Start().ok());
}

TEST_F(ModelRepositoryTest, ClosedItLoadsNothing) {
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  Put("net/2");
  repository().Close();
  Look();
  EXPECT_THAT(loads_, IsEmpty());
  EXPECT_EQ(DetailsOf(repository().LoadModel("net", {})).reason, ErrorReason::kDraining);
}

TEST_F(ModelRepositoryTest, UsualPassesOfNewAndLeavingVersionsNeedRoom) {
  options_.versions = "latest:1";
  Put("net/1", "usual 100");
  ASSERT_TRUE(Start().ok());
  const auto call = *registry_.Get("net", "");
  needs_.clear();
  Put("net/2", "usual 100");
  Look();
  EXPECT_EQ(Serving(), "net 2*");
  ASSERT_GE(needs_.size(), 2u);
  EXPECT_EQ(needs_.front().pass_bytes, 100) << "those of the new one, as of the one before";
  EXPECT_FALSE(needs_.front().loaded);
  EXPECT_EQ(needs_.back().pass_bytes, 100) << "those of the old one, which is not free yet";
  EXPECT_EQ(needs_.back().bundle_bytes, 18);
  EXPECT_TRUE(needs_.back().loaded);
  room_ = 118;
  Put("other/1", "usual 101");
  Look();
  EXPECT_EQ(Message("other", "1"), "too little memory") << "known when it was loaded";
  EXPECT_EQ(Serving(), "net 2*");
}

TEST_F(ModelRepositoryTest, WhatLackedRoomMayBeTriedAgainWhenSomeIsFree) {
  options_.versions = "latest:1";
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  auto call = *registry_.Get("net", "");
  Put("net/2");
  Look();
  room_ = 5;
  Put("net/3");
  Look();
  EXPECT_EQ(Serving(), "net 2*");
  EXPECT_FALSE(repository().FreeWhatIsLeft()) << "nothing was freed";
  call = nullptr;
  EXPECT_TRUE(repository().FreeWhatIsLeft());
  Look();
  EXPECT_EQ(Serving(), "net 3*");
  EXPECT_FALSE(repository().FreeWhatIsLeft()) << "all serve";
}

TEST_F(ModelRepositoryTest, ANewModelServesItsDefaultOrNone) {
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  Put("new/1");
  Put("new/2");
  Put("new/3", "bad");
  PutSettings("new", R"({"default": "3"})");
  std::string while_loading;
  during_load_ = [&](const BundleLocation& at) {
    if (at.version == "2") while_loading = registry_.Find("new", "")->version;
  };
  Look();
  EXPECT_EQ(while_loading, "3") << "version 1 is ready, and not what was asked for";
  EXPECT_EQ(registry_.Find("new", "")->state, ModelState::kFailed);
}

TEST_F(ModelRepositoryTest, AnAliasOfNothingKeepsNoOldVersion) {
  options_.versions = "latest:1";
  Put("net/1");
  ASSERT_TRUE(Start().ok());
  PutSettings("net", R"({"aliases": {"old": "7"}})");
  Put("net/2");
  Look();
  EXPECT_EQ(Serving(), "net 2*");
}

TEST_F(ModelRepositoryTest, AnOrderThatFailsLeavesTheModelUnloaded) {
  Put("net/1");
  Put("other/1");
  ASSERT_TRUE(Start().ok());
  ASSERT_TRUE(repository().UnloadModel("net").ok());
  Put("net/1", "bad");
  EXPECT_FALSE(repository().LoadModel("net", {}).ok());
  EXPECT_EQ(repository().Unloaded().size(), 1u);
  Put("net/1");
  Look();
  EXPECT_EQ(Serving(), "other 1*") << "nobody asked for it again";
  EXPECT_TRUE(repository().LoadModel("net", {}).ok());
  EXPECT_THAT(repository().Unloaded(), IsEmpty());
}

TEST_F(ModelRepositoryTest, AModelWithoutVersionsCanBeUnloadedToo) {
  Put("net/1");
  Put("other/1");
  PutSettings("net", R"({"versions": ["7"]})");
  ASSERT_TRUE(Start().ok());
  ASSERT_TRUE(repository().UnloadModel("net").ok());
  PutSettings("net", "{}");
  Look();
  EXPECT_EQ(Serving(), "other 1*");
}

TEST_F(ModelRepositoryTest, ADefaultThatIsNotThereIsNamedAndDoesNotServe) {
  Put("net/1");
  PutSettings("net", R"({"default": "7"})");
  ASSERT_TRUE(Start().ok());
  EXPECT_FALSE(registry_.AnyReady());
  EXPECT_THAT(std::string(registry_.Get("net", "").status().message()),
              HasSubstr(R"(no version "7", which is its default; it has: 1)"));
}

TEST_F(ModelRepositoryTest, AFolderThatIsSwappedDuringALoadIsLoadedAsItIsThen) {
  WriteFile(Path("a/net/1") / "manifest.json", "usual 1");
  WriteFile(Path("b/net/1") / "manifest.json", "usual 22");
  const fs::path link = Path("link");
  fs::create_directory_symlink(Path("a"), link);
  options_.models_dir = link.string();
  during_load_ = [&](const BundleLocation&) {
    fs::remove(link);
    fs::create_directory_symlink(Path("b"), link);
    during_load_ = nullptr;
  };
  ASSERT_TRUE(repository_at_options().Start().ok());
  ASSERT_TRUE(repository_->LoadFirst().ok());
  EXPECT_EQ(loads_.size(), 2u);
  EXPECT_EQ((*registry_.Get("net", ""))->model->UsualBytes(), 22);
  EXPECT_TRUE(repository_->Look(/*again=*/true).ok());
  EXPECT_EQ(loads_.size(), 2u) << "it is what lies there";
}

TEST_F(ModelRepositoryTest, FilesThatKeepChangingAreNotLoaded) {
  Put("net/1");
  std::string text = "{}";
  during_load_ = [&](const BundleLocation&) { Put("net/1", text += " "); };
  const absl::Status status = Start();
  EXPECT_THAT(std::string(status.message()), HasSubstr("change while it is loaded"));
  EXPECT_EQ(loads_.size(), 3u);
}

TEST_F(ModelRepositoryTest, ADefaultThatIsNotThereIsToldAtTheStart) {
  Put("net/1");
  Put("other/1");
  ModelRegistry registry("nett");
  const auto start = [&] {
    options_.models_dir = models_.path().string();
    return ModelRepository(options_,
                           {.registry = &registry, .metrics = &metrics_, .clock = &clock_})
        .Start();
  };
  EXPECT_TRUE(start().ok());
  options_.strict = true;
  const absl::Status status = start();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("--default-model nett"), HasSubstr("there are: net, other")));
}

TEST_F(ModelRepositoryTest, AFolderOfAnotherLevelSaysWhatToPass) {
  Put("net/1");
  const auto says = [&](const fs::path& dir) {
    options_.models_dir = dir.string();
    repository_ = nullptr;
    return std::string(repository_at_options().Start().message());
  };
  const std::string models = models_.path().string();
  EXPECT_THAT(says(Path("nowhere")), HasSubstr("there is no folder " + models + "/nowhere"));
  EXPECT_THAT(says(Path("net/1/manifest.json")), HasSubstr("is no folder"));
  EXPECT_THAT(says(Path("net")), AllOf(HasSubstr("the folder of one model, with version 1"),
                                       HasSubstr("pass --models-dir " + models)));
  EXPECT_THAT(says(Path("net/1")),
              AllOf(HasSubstr("a version of a model"), HasSubstr("pass --models-dir " + models)));
  EXPECT_THAT(says(models_.path().parent_path() / "."), Not(HasSubstr("pass --models-dir /tmp/.")));
  Put("deep/net/1");
  Remove("net");
  EXPECT_THAT(says(models_.path()), AllOf(HasSubstr("which has net/1"),
                                          HasSubstr("pass --models-dir " + models + "/deep")));
}

TEST_F(ModelRepositoryTest, NamesMayBeAsLongAsAFolders) {
  const std::string name(255, 'n');
  const std::string version(255, '9');
  Put(name + "/1");
  Put(name + "/" + version);
  Put(std::string(255, 'm') + "/1", "bad");
  ASSERT_TRUE(Start().ok());
  EXPECT_EQ(registry_.Find(name, "")->version, version);
  EXPECT_TRUE(repository().LoadModel(name, VersionPolicy{.named = {"1"}}).ok());
  EXPECT_EQ(registry_.Find(name, "")->version, "1");
  EXPECT_TRUE(repository().UnloadModel(name).ok());
}

}  // namespace
}  // namespace pixpool
