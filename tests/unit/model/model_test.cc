#include "server/model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "server/model/options.h"

namespace pixpool {
namespace {

ModelInfo Info() {
  ModelInfo info;
  info.weights_sha256 = std::string(64, 'a');
  info.precision = "float32";
  info.input.mean = {127, 127, 127};
  info.input.std = {128, 128, 128};
  return info;
}

TEST(SpaceId, Is32HexadecimalDigitsAndStable) {
  const std::string id = MakeSpaceId(Info(), "plan", "head");
  EXPECT_EQ(id.size(), 32u);
  EXPECT_TRUE(std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  })) << id;
  EXPECT_EQ(id, MakeSpaceId(Info(), "plan", "head"));
  // Computed with Python's hashlib. Stored indexes hold these: a change of the rule makes them
  // stale.
  EXPECT_EQ(id, "dccd0f16a8cb63d2d771a3a14ca13754");
}

TEST(SpaceId, ChangesWithEverythingThatDecidesTheSpace) {
  std::set<std::string> ids = {
      MakeSpaceId(Info(), "plan", "head"), MakeSpaceId(Info(), "plan2", "head"),
      MakeSpaceId(Info(), "plan", "head2"), MakeSpaceId(Info(), "planhead", "")};
  ModelInfo info = Info();
  info.weights_sha256[0] = 'b';
  ids.insert(MakeSpaceId(info, "plan", "head"));
  info = Info();
  info.precision = "int8";
  ids.insert(MakeSpaceId(info, "plan", "head"));
  info = Info();
  info.input.mean[1] += 1e-4f;
  ids.insert(MakeSpaceId(info, "plan", "head"));
  info = Info();
  std::swap(info.input.mean, info.input.std);
  ids.insert(MakeSpaceId(info, "plan", "head"));
  EXPECT_EQ(ids.size(), 8u);
}

TEST(SpaceId, DoesNotChangeWithNameDeviceOrEngine) {
  ModelInfo info = Info();
  info.name = "renamed";
  info.version = "nine";
  info.device = "cuda:0";
  info.engine = "openvino";
  info.license = "MIT";
  EXPECT_EQ(MakeSpaceId(info, "plan", "head"), MakeSpaceId(Info(), "plan", "head"));
}

TEST(ModelInfo, WarnsOfLayersThatLoseValues) {
  ModelInfo info = Info();
  info.layers = {{"a", 3, 4, true}, {"b", 5, 8, false}};
  info.default_layer = info.layers[0].name;
  const std::vector<std::string> warnings = info.Warnings();
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], testing::StartsWith(
                               "negative activations are possible in layers 'b': gem lifts them"));
  EXPECT_THAT(warnings[0], testing::HasSubstr(", crow counts "));
  EXPECT_THAT(warnings[0], testing::Not(testing::HasSubstr("lp ")));  // its default p is even
}

TEST(ModelInfo, UsualOutputsAreThoseOfTheDefaultLayer) {
  ModelInfo info = Info();
  info.layers = {{.name = "a"}, {.name = "b"}};
  info.default_layer = "b";
  EXPECT_THAT(info.UsualOutputs(), testing::ElementsAre(1));
  info.vectors = {{"vlad", 4}, {"embedding", 8}};
  EXPECT_THAT(info.UsualOutputs(), testing::ElementsAre(1)) << "it may be far behind a map";
  info.layers[1].prefix_tokens = 5;
  EXPECT_THAT(info.UsualOutputs(), testing::ElementsAre(1, 2, 4));
  info.layers[0].prefix_tokens = 5;
  EXPECT_THAT(info.UsualOutputs(), testing::ElementsAre(1, 3, 5));
  info.default_layer = "a";
  EXPECT_THAT(info.UsualOutputs(), testing::ElementsAre(0, 2)) << "blocks come after it";
}

// It takes any other engine unasked.
TEST(ModelOptions, HelpNamesTheEnginesThatAutoPassesOver) {
  for (const Engine& engine : kEngines) {
    EXPECT_EQ(ModelOptions::kEngine.help.find(engine.name) != std::string_view::npos,
              engine.only_by_name)
        << engine.name;
  }
}

}  // namespace
}  // namespace pixpool
