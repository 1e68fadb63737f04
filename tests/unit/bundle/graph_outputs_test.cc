#include "server/bundle/graph_outputs.h"

#include <gtest/gtest.h>

#include <vector>

namespace pixpool {
namespace {

TEST(GraphOutputs, MapsOfACnnAreAllThereIs) {
  const std::vector<LayerInfo> layers = {{.name = "early"}, {.name = "late"}};
  const GraphOutputs outputs(layers, {});
  EXPECT_EQ(outputs.count(), 2);
  EXPECT_EQ(outputs.PrefixTokens(1), -1);
  EXPECT_EQ(outputs.Name(1), "layer 'late'");
  EXPECT_EQ(outputs.Text(), "2 layers");
}

TEST(GraphOutputs, TokensOfThoseThatHaveThemComeAfterTheMapsAndThenTheVectors) {
  const std::vector<LayerInfo> layers = {
      {.name = "a", .prefix_tokens = 1}, {.name = "stem"}, {.name = "b", .prefix_tokens = 5}};
  const std::vector<VectorInfo> vectors = {{"embedding", 8}, {"vlad", 4}};
  const GraphOutputs outputs(layers, vectors);
  EXPECT_EQ(outputs.count(), 7);
  EXPECT_EQ(outputs.PrefixTokens(0), 3);
  EXPECT_EQ(outputs.PrefixTokens(1), -1);
  EXPECT_EQ(outputs.PrefixTokens(2), 4);
  EXPECT_EQ(outputs.Vector(0), 5);
  EXPECT_EQ(outputs.Vector(1), 6);
  std::vector<std::string> names;
  for (int i = 0; i < outputs.count(); ++i) names.push_back(outputs.Name(i));
  EXPECT_EQ(names, (std::vector<std::string>{
                       "layer 'a'", "layer 'stem'", "layer 'b'", "the prefix tokens of layer 'a'",
                       "the prefix tokens of layer 'b'", "vector 'embedding'", "vector 'vlad'"}));
  EXPECT_EQ(outputs.Text(), "maps of 3 layers, prefix tokens of 2 and 2 vectors");
}

}  // namespace
}  // namespace pixpool
