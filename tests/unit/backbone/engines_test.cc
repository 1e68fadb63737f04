#include "server/backbone/engines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <string_view>
#include <vector>

#include "server/backbone/backbone.h"

namespace pixpool {
namespace {

TEST(BackboneEngines, AreThoseOfTheListThatTheBuildHas) {
  std::vector<std::string_view> names;
  for (const BackboneEngine& engine : BackboneEngines()) {
    names.push_back(engine.name);
    EXPECT_NE(engine.load, nullptr) << engine.name;
  }
  std::vector<std::string_view> expected(std::begin(kEngineNames), std::end(kEngineNames));
  // The one whose library a build may be without.
  if (kLoadOpenVino == nullptr) std::erase(expected, "openvino");
  EXPECT_EQ(names, expected);
}

// What "auto" may take.
TEST(BackboneEngines, HaveOneForAnyDevice) {
  for (const std::string_view device : {"cpu", "cuda:0", "cuda:1"}) {
    std::vector<std::string_view> unasked;
    for (const BackboneEngine& engine : BackboneEngines()) {
      if (engine.runs_on(device) && !engine.only_by_name) unasked.push_back(engine.name);
    }
    EXPECT_THAT(unasked, testing::Contains("torchscript")) << device;
    EXPECT_EQ(testing::Value(unasked, testing::Contains("openvino")),
              device == "cpu" && kLoadOpenVino != nullptr)
        << device;
  }
}

// A file whose name no engine takes: each says so itself, and none throws.
TEST(BackboneEngines, SayWhatTheyCannotLoad) {
  for (const BackboneEngine& engine : BackboneEngines()) {
    BackboneOptions options;
    options.path = "no/such/backbone";
    options.device = "cpu";
    const auto loaded = engine.load(options);
    ASSERT_FALSE(loaded.ok()) << engine.name;
    EXPECT_THAT(loaded.status().message(),
                testing::HasSubstr("no/such/backbone cannot be loaded: "));
  }
}

}  // namespace
}  // namespace pixpool
