#include "server/bundle/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixpool {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(JsonReader, ReadsValuesWithoutProblems) {
  const json document = json::parse(
      R"({"t":"x","i":3,"b":true,"n":0.5,"three":[1,2.5,3],"o":{"i":9},"l":[{"i":1},{"i":2}]})");
  JsonProblems problems;
  const JsonObject root(&document, "$", &problems);
  EXPECT_EQ(root.Text("t"), "x");
  EXPECT_EQ(root.Int("i", 1, 3), 3);
  EXPECT_TRUE(root.Bool("b"));
  EXPECT_EQ(root.Number("n", 0, 1), 0.5);
  EXPECT_THAT(root.Triple("three", 0), ElementsAre(1, 2.5f, 3));
  EXPECT_EQ(root.Choice("t", {"a", "x"}), 1);
  EXPECT_EQ(root.Object("o").Int("i", 0, 10), 9);
  const std::vector<JsonObject> list = root.Objects("l");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1].Int("i", 0, 10), 2);
  EXPECT_TRUE(root.Has("t"));
  EXPECT_FALSE(root.Has("u"));
  EXPECT_THAT(problems.list, IsEmpty());
}

TEST(JsonReader, CollectsEveryProblemWithItsPath) {
  const json document = json::parse(
      R"({"t":3,"i":4,"big":18446744073709551615,"f":1.0,"b":1,"n":2,"three":[1,2],"c":"z",
          "o":[],"l":{},"m":[{"i":"x"},7]})");
  JsonProblems problems;
  const JsonObject root(&document, "$", &problems);
  root.Text("t");
  root.Text("absent");
  root.Int("i", 1, 3);
  root.Int("big", 0, INT64_MAX);
  root.Int("f", 0, 3);
  root.Bool("b");
  root.Number("n", 0, 1);
  root.Triple("three", 0);
  root.Choice("c", {"a", "b"});
  root.Object("o").Text("nothing more is reported below it");
  root.Objects("l");
  root.Objects("m")[0].Int("i", 0, 1);
  EXPECT_THAT(
      problems.list,
      ElementsAre("$.t: must be a text that is not empty", "$.absent: is missing",
                  "$.i: must be an integer from 1 to 3",
                  "$.big: must be an integer from 0 to 9223372036854775807",
                  "$.f: must be an integer from 0 to 3", "$.b: must be true or false",
                  "$.n: must be a number from 0 to 1",
                  "$.three: must be three numbers of at least 0", "$.c: must be one of a, b",
                  "$.o: must be an object", "$.l: must be a list of at least one object",
                  "$.m[1]: must be an object", "$.m[0].i: must be an integer from 0 to 1"));
}

}  // namespace
}  // namespace pixpool
