#include "server/pipeline/model_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/error.h"

namespace pixpool {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// A model that says when it is destroyed.
class FakeModel final : public Model {
 public:
  explicit FakeModel(std::string version, bool* destroyed = nullptr) : destroyed_(destroyed) {
    info_.version = std::move(version);
  }
  ~FakeModel() override {
    if (destroyed_ != nullptr) *destroyed_ = true;
  }
  const ModelInfo& info() const override { return info_; }
  int instance_count() const override { return 1; }
  int useful_batch_size() const override { return 8; }
  void EnterInstanceThread(int) override {}
  void RunBatch(const BatchPlace&, absl::Span<const ModelTask>, absl::Span<ModelResult>,
                ModelRunTimes*) override {}

 private:
  ModelInfo info_;
  bool* const destroyed_;
};

void SetReady(ModelRegistry& registry, const std::string& name, const std::string& version) {
  registry.SetReady(name, version, std::make_unique<FakeModel>(version));
}

ErrorReason ReasonOf(const absl::Status& status) { return GetErrorDetails(status)->reason; }

TEST(ModelRegistryTest, EmptyHasNoModelAndIsNotReady) {
  const ModelRegistry registry("");
  EXPECT_EQ(ReasonOf(registry.Get("", "").status()), ErrorReason::kModelNotFound);
  EXPECT_TRUE(registry.List().empty());
  EXPECT_FALSE(registry.AnyReady());
}

TEST(ModelRegistryTest, AModelLoadsAndThenServes) {
  ModelRegistry registry("");
  registry.AddLoading("net", "1");
  const absl::Status loading = registry.Get("net", "1").status();
  EXPECT_EQ(ReasonOf(loading), ErrorReason::kModelLoading);
  EXPECT_EQ(loading.code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(GetErrorDetails(loading)->retry_after, absl::ZeroDuration());
  EXPECT_FALSE(registry.AnyReady());
  SetReady(registry, "net", "1");
  EXPECT_TRUE(registry.AnyReady());
  EXPECT_EQ((*registry.Get("net", "1"))->info().version, "1");
  EXPECT_EQ(registry.List().size(), 1u) << "the same row";
}

TEST(ModelRegistryTest, AFailedModelSaysWhy) {
  ModelRegistry registry("");
  registry.AddLoading("net", "1");
  registry.SetFailed("net", "1", "digest differs");
  const absl::Status failed = registry.Get("net", "").status();
  EXPECT_EQ(ReasonOf(failed), ErrorReason::kModelLoading);
  EXPECT_THAT(std::string(failed.message()), HasSubstr("digest differs"));
  EXPECT_FALSE(registry.AnyReady());
  EXPECT_EQ(registry.Find("net", "1")->state, ModelState::kFailed);
  EXPECT_EQ(registry.Find("net", "1")->loaded, nullptr);
}

TEST(ModelRegistryTest, OneThatIsReadyIsEnough) {
  ModelRegistry registry("");
  registry.AddLoading("a", "1");
  registry.SetFailed("b", "1", "digest differs");
  EXPECT_FALSE(registry.AnyReady());
  SetReady(registry, "b", "2");
  EXPECT_TRUE(registry.AnyReady());
}

TEST(ModelRegistryTest, AnEmptyNameIsTheDefaultModelOrTheOnlyOne) {
  ModelRegistry open("");
  ModelRegistry chosen("b");
  for (ModelRegistry* registry : {&open, &chosen}) {
    SetReady(*registry, "b", "1");
    EXPECT_EQ(registry->Find("", "")->name, "b");
    SetReady(*registry, "a", "1");
  }
  EXPECT_EQ(chosen.Find("", "")->name, "b");
  const absl::Status several = open.Find("", "").status();
  EXPECT_EQ(ReasonOf(several), ErrorReason::kModelNotFound);
  EXPECT_THAT(std::string(several.message()),
              AllOf(HasSubstr("several: a, b;"), HasSubstr("--default-model")));
  open.Remove("a", "1");
  EXPECT_EQ(open.Find("", "")->name, "b") << "alone again";
  ModelRegistry missing("c");
  SetReady(missing, "a", "1");
  EXPECT_EQ(ReasonOf(missing.Find("", "").status()), ErrorReason::kModelNotFound);
}

TEST(ModelRegistryTest, VersionsAreOrderedByValueAndTheHighestIsTheDefault) {
  ModelRegistry registry("");
  for (const char* version : {"10", "9", "007", "beta", "18446744073709551617", "alpha"}) {
    SetReady(registry, "net", version);
  }
  SetReady(registry, "a", "1");
  std::vector<std::string> listed;
  for (const ModelEntry& entry : registry.List()) listed.push_back(entry.name + entry.version);
  EXPECT_THAT(listed, ElementsAre("a1", "net007", "net9", "net10", "net18446744073709551617",
                                  "netalpha", "netbeta"));
  EXPECT_EQ(registry.Find("net", "")->version, "beta");
  EXPECT_EQ(registry.Find("net", "007")->version, "007");
  EXPECT_FALSE(registry.Find("net", "7").ok()) << "versions are names, not numbers";
}

TEST(ModelRegistryTest, UnknownNamesAndVersionsAreNamed) {
  ModelRegistry registry("");
  SetReady(registry, "net", "1");
  SetReady(registry, "net", "2");
  const absl::Status name = registry.Find("nett", "").status();
  EXPECT_EQ(name.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(GetErrorDetails(name)->field, "model");
  EXPECT_THAT(std::string(name.message()), HasSubstr("\"nett\""));
  const absl::Status version = registry.Find("net", "3").status();
  EXPECT_EQ(GetErrorDetails(version)->field, "model_version");
  EXPECT_THAT(std::string(version.message()), HasSubstr("it has: 1, 2"));
}

TEST(ModelRegistryTest, HostileNamesAreCutAndEscaped) {
  ModelRegistry registry("");
  SetReady(registry, "net", "1");
  const absl::Status status = registry.Find(std::string(1 << 20, 'x') + "\n", "").status();
  EXPECT_LT(status.message().size(), 300u);
  const absl::Status escape = registry.Find("\x1b[2J\n", "").status();
  EXPECT_EQ(escape.message().find('\x1b'), absl::string_view::npos);
}

TEST(ModelRegistryTest, ARequestKeepsItsModelWhenItIsReplaced) {
  ModelRegistry registry("");
  bool destroyed = false;
  registry.SetReady("net", "1", std::make_unique<FakeModel>("old", &destroyed));
  auto held = *registry.Get("net", "1");
  registry.SetReady("net", "1", std::make_unique<FakeModel>("new"));
  EXPECT_FALSE(destroyed);
  EXPECT_EQ(held->info().version, "old");
  EXPECT_EQ((*registry.Get("net", "1"))->info().version, "new");
  held = nullptr;
  EXPECT_TRUE(destroyed);
}

TEST(ModelRegistryTest, WithoutAVersionTheHighestThatIsReadyIsMeant) {
  ModelRegistry registry("");
  SetReady(registry, "net", "1");
  registry.AddLoading("net", "2");
  EXPECT_EQ(registry.Find("net", "")->version, "1");
  registry.SetFailed("net", "2", "digest differs");
  EXPECT_EQ(registry.Find("net", "")->version, "1");
  EXPECT_EQ(ReasonOf(registry.Get("net", "2").status()), ErrorReason::kModelLoading);
  SetReady(registry, "net", "2");
  EXPECT_EQ(registry.Find("net", "")->version, "2");
  registry.Remove("net", "2");
  EXPECT_EQ(registry.Find("net", "")->version, "1");
  EXPECT_EQ(ReasonOf(registry.Get("net", "2").status()), ErrorReason::kModelNotFound);
}

TEST(ModelRegistryTest, AVersionServesOnWhileItIsLoadedAnew) {
  ModelRegistry registry("");
  SetReady(registry, "net", "1");
  registry.AddLoading("net", "1");
  EXPECT_TRUE(registry.Get("net", "1").ok());
  registry.SetFailed("net", "1", "digest differs");
  EXPECT_TRUE(registry.Get("net", "1").ok());
  EXPECT_EQ(registry.Find("net", "1")->message, "digest differs") << "for who asks";
  SetReady(registry, "net", "1");
  EXPECT_EQ(registry.Find("net", "1")->message, "");
}

TEST(ModelRegistryTest, AnIdleModelTakesCallsAndHoldsNothing) {
  ModelRegistry registry("");
  bool destroyed = false;
  registry.SetReady("net", "1", std::make_unique<FakeModel>("1", &destroyed));
  registry.SetIdle("net", "1");
  EXPECT_TRUE(destroyed);
  EXPECT_TRUE(registry.AnyReady());
  ModelKey idle;
  EXPECT_EQ(ReasonOf(registry.Get("", "", &idle).status()), ErrorReason::kModelLoading);
  EXPECT_EQ(idle, (ModelKey{"net", "1"}));
  EXPECT_EQ(registry.FindServing("net", "")->info()->version, "1");
  registry.AddLoading("net", "1");
  registry.SetFailed("net", "1", "other files");
  EXPECT_EQ(registry.Find("net", "1")->state, ModelState::kIdle) << "for who asks";
  SetReady(registry, "net", "1");
  EXPECT_EQ(registry.Find("net", "1")->idle, nullptr);
  EXPECT_TRUE(registry.Get("net", "").ok());
  registry.SetIdle("net", "1");
  registry.EndIdle("net", "1");
  EXPECT_FALSE(registry.AnyReady());
  EXPECT_EQ(ReasonOf(registry.FindServing("net", "1").status()), ErrorReason::kModelLoading);
  registry.SetIdle("net", "7");
  registry.SetIdle("other", "1");
  EXPECT_EQ(registry.List().size(), 1u) << "without effect";
}

TEST(ModelRegistryTest, CallsAreCounted) {
  ModelRegistry registry("");
  SetReady(registry, "net", "1");
  const auto call = *registry.Get("net", "");
  EXPECT_EQ(call->calls->load(), 1);
  EXPECT_TRUE(registry.Find("net", "").ok());
  EXPECT_TRUE(registry.FindServing("net", "").ok());
  EXPECT_EQ(call->calls->load(), 1) << "who asks for it does not use it";
  EXPECT_TRUE(registry.Get("net", "1").ok());
  EXPECT_EQ(call->calls->load(), 2);
}

TEST(ModelRegistryTest, RoutesNameTheDefaultAndAliases) {
  ModelRegistry registry("");
  SetReady(registry, "net", "1");
  SetReady(registry, "net", "2");
  registry.SetRoutes("net", {.default_version = "1", .aliases = {{"stable", "1"}, {"2", "1"}}});
  EXPECT_EQ(registry.Find("net", "")->version, "1");
  EXPECT_EQ(registry.Find("net", "stable")->version, "1");
  EXPECT_EQ(registry.Find("net", "2")->version, "2") << "a version goes before an alias";
  EXPECT_THAT(std::string(registry.Find("net", "3").status().message()),
              HasSubstr("it has: 1, 2, 2 (1), stable (1)"));
  registry.Remove("net", "1");
  const absl::Status gone = registry.Find("net", "stable").status();
  EXPECT_EQ(ReasonOf(gone), ErrorReason::kModelNotFound);
  EXPECT_THAT(std::string(gone.message()), HasSubstr("\"stable\", which stands for \"1\""));
  registry.SetRoutes("net", {});
  EXPECT_EQ(registry.Find("net", "")->version, "2");
}

TEST(ModelRegistryTest, TheLastCallEndsAVersionThatWasRemoved) {
  ModelRegistry registry("");
  const auto model = std::make_shared<FakeModel>("1");
  const std::weak_ptr<const LoadedModel> use = registry.SetReady("net", "1", model);
  auto call = *registry.Get("net", "");
  registry.Remove("net", "1");
  EXPECT_TRUE(registry.List().empty());
  EXPECT_FALSE(use.expired());
  call = nullptr;
  EXPECT_TRUE(use.expired());
  registry.Remove("net", "1");  // without effect
}

TEST(ModelRegistryTest, LongNamesAreCutBetweenCharacters) {
  ModelRegistry registry("");
  registry.AddLoading("a", "1");
  std::string name(99, 'x');
  name += "\xC3\xA9 and more";  // the character takes bytes 99 and 100
  const auto details = GetErrorDetails(registry.Find(name, "").status());
  ASSERT_TRUE(details.has_value());
  EXPECT_EQ(details->metadata[0].second, std::string(99, 'x'));
}

}  // namespace
}  // namespace pixpool
