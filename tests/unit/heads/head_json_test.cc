#include "server/heads/head_json.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "nlohmann/json.hpp"
#include "server/heads/heads.h"

namespace pixpool {
namespace {

TEST(HeadsJson, StatesEveryRowInFull) {
  const auto heads = nlohmann::json::parse(HeadsJson());
  ASSERT_EQ(heads.size(), HeadTypes().size());
  for (const auto& head : heads) {
    for (const char* key : {"name", "description", "use", "output", "shape", "cost"}) {
      EXPECT_NE(head.at(key).get<std::string>(), "") << head;
    }
    for (const auto& parameter : head.at("parameters")) {
      for (const char* key : {"name", "type", "help", "range"}) {
        EXPECT_NE(parameter.at(key).get<std::string>(), "") << parameter;
      }
    }
  }
}

TEST(HeadsJson, IsTheFileThatClientsAndDocsAreMadeFrom) {
  std::ifstream file(PIXPOOL_HEADS_JSON);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_TRUE(text.str() == HeadsJson())
      << "docs/heads.json is not what the server prints: run scripts/py scripts/make_heads.py, and "
         "git diff shows what changed";
}

}  // namespace
}  // namespace pixpool
