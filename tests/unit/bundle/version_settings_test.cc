#include "server/bundle/version_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/text.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

std::string ProblemsOf(const std::string& json) {
  const auto settings = ParseVersionSettings(json);
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(settings.status().message());
}

TEST(VersionPolicyTest, Texts) {
  EXPECT_EQ(*ParseVersionPolicy("all"), VersionPolicy{});
  EXPECT_EQ(ParseVersionPolicy("latest")->latest, 1);
  EXPECT_EQ(ParseVersionPolicy("latest:3")->latest, 3);
  for (const char* wrong : {"", "late", "latest:", "latest:0", "latest:-1", "latest:2x", "3"}) {
    EXPECT_FALSE(ParseVersionPolicy(wrong).ok()) << wrong;
  }
}

TEST(VersionPolicyTest, ChoosesAmongThoseThereAre) {
  const std::vector<std::string> versions = {"1", "2", "10"};
  EXPECT_EQ(ChooseVersions({}, versions), versions);
  EXPECT_THAT(ChooseVersions({.latest = 2}, versions), ElementsAre("2", "10"));
  EXPECT_EQ(ChooseVersions({.latest = 5}, versions), versions);
  EXPECT_THAT(ChooseVersions({.named = {"10", "7", "1"}}, versions), ElementsAre("1", "10"));
}

TEST(VersionPolicyTest, OfTritonsConfiguration) {
  const auto policy_of = [](const std::string& text) { return VersionPolicyOfConfig(text, "net"); };
  EXPECT_EQ(*policy_of(R"({"version_policy": {"all": {}}})"), VersionPolicy{});
  EXPECT_EQ(policy_of(R"({"name": "net", "version_policy": {"latest": {}}})")->latest, 1);
  EXPECT_EQ(policy_of(R"({"version_policy": {"latest": {"num_versions": 2}}})")->latest, 2);
  EXPECT_THAT(policy_of(R"({"version_policy": {"specific": {"versions": [3, "x"]}}})")->named,
              ElementsAre("3", "x"));
  for (const char* wrong :
       {"", "{}", "3", R"({"version_policy": {}})", R"({"version_policy": {"some": {}}})",
        R"({"version_policy": {"all": 1}})", R"({"version_policy": {"specific": {}}})",
        R"({"version_policy": {"specific": {"versions": [1.5]}}})",
        R"({"version_policy": {"latest": {"num_versions": 0}}})",
        R"({"version_policy": {"all": {}, "latest": {}}})",
        R"({"name": "other", "version_policy": {"all": {}}})",
        R"({"name": 3, "version_policy": {"all": {}}})",
        R"({"max_batch_size": 8, "version_policy": {"all": {}}})"}) {
    const auto policy = policy_of(wrong);
    ASSERT_FALSE(policy.ok()) << wrong;
    EXPECT_THAT(std::string(policy.status().message()), HasSubstr("such as {\"version_policy\""));
  }
}

TEST(VersionSettingsTest, AllOfIt) {
  const auto settings = ParseVersionSettings(
      R"({"versions": "latest:2", "default": "stable", "aliases": {"stable": "1", "new": "2"}})");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->has_policy);
  EXPECT_EQ(settings->policy.latest, 2);
  EXPECT_EQ(settings->DefaultVersion(), "1");
  EXPECT_THAT(settings->aliases, ElementsAre(Pair("new", "2"), Pair("stable", "1")));
  EXPECT_THAT(ParseVersionSettings(R"({"versions": ["1", "7"]})")->policy.named,
              ElementsAre("1", "7"));
  EXPECT_EQ(ParseVersionSettings(R"({"default": "3"})")->DefaultVersion(), "3");
  EXPECT_EQ(*ParseVersionSettings("{}"), VersionSettings{});
}

TEST(VersionSettingsTest, EveryProblemIsNamedWithItsPath) {
  EXPECT_THAT(
      ProblemsOf(R"({"version": "all", "versions": "3", "default": "", "aliases": {"a": 1}})"),
      AllOf(HasSubstr("$.version: is not known"), HasSubstr("$.versions: must be"),
            HasSubstr("$.default: must be"), HasSubstr("$.aliases.a: must be a version")));
  EXPECT_THAT(ProblemsOf(R"({"aliases": {"a": "b", "b": "1"}})"), HasSubstr("not another alias"));
  for (const char* wrong : {"", "[]", "{", "\"all\"", R"({"versions": []})", R"({"versions": [1]})",
                            R"({"aliases": []})", R"({"aliases": {"": "1"}})"}) {
    EXPECT_THAT(ProblemsOf(wrong), Not(IsEmpty())) << wrong;
  }
}

TEST(VersionSettingsTest, TheFileIsOptional) {
  const TempDir temp;
  EXPECT_EQ(*ReadVersionSettings(temp.path().string()), VersionSettings{});
  WriteFile(temp.path() / kVersionSettingsFile, R"({"default": "2"})");
  EXPECT_EQ(ReadVersionSettings(temp.path().string())->default_version, "2");
  WriteFile(temp.path() / kVersionSettingsFile, "{");
  EXPECT_THAT(std::string(ReadVersionSettings(temp.path().string()).status().message()),
              HasSubstr((temp.path() / kVersionSettingsFile).string()));
}

}  // namespace
}  // namespace pixpool
