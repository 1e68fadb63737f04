#include "client/cli/json_output.h"

#include <cmath>
#include <sstream>

#include "client/cpp/error.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/client/fakes.h"
#include "tests/unit/client/outcomes.h"

namespace pixpool::cli {
namespace {

TEST(JsonOutputTest, FeaturesOfAPicture) {
  const auto json = nlohmann::json::parse(OutcomeJson(MakeGood(3, "a.png", {0.1f, -2.0f}, true)));
  EXPECT_EQ(json["index"], 3);
  EXPECT_EQ(json["path"], "a.png");
  EXPECT_EQ(json["ok"], true);
  EXPECT_EQ(json["model"]["version"], "2");
  EXPECT_EQ(json["width_px"], 300);
  EXPECT_EQ(json["input_height_px"], 224);
  EXPECT_EQ(json["heads"][0]["class_scores"][0]["label"], "Egyptian cat");
  EXPECT_EQ(json["heads"][0]["class_scores"][1]["class_index"], 7);
  EXPECT_FALSE(json["heads"][0].contains("values"));
  EXPECT_EQ(json["heads"][1]["shape"], nlohmann::json({2}));
  EXPECT_EQ(json["heads"][1]["space_id"], "0123456789abcdef0123456789abcdef");
  EXPECT_EQ(json["stage_times_ms"]["decode"], 1.25);
  EXPECT_EQ(json["stage_times_ms"]["backbone"], 1000);
}

TEST(JsonOutputTest, FloatsAreShortAndExact) {
  const std::string text = OutcomeJson(MakeGood(0, "a", {0.1f, 1.0f / 3, 1e-30f, NAN}));
  EXPECT_NE(text.find("\"values\":[0.1,0.33333334,1e-30,null]"), std::string::npos) << text;
}

TEST(JsonOutputTest, ErrorOfAPicture) {
  const absl::Status status = client::FromRpcStatus(client::RpcError(
      grpc::StatusCode::INVALID_ARGUMENT, "too large", "LIMIT_EXCEEDED", "images[0]"));
  const auto json = nlohmann::json::parse(OutcomeJson(MakeBad(0, "a.png", status)));
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(json["error"]["reason"], "LIMIT_EXCEEDED");
  EXPECT_EQ(json["error"]["message"], "too large");
  EXPECT_EQ(json["error"]["fields"], nlohmann::json({"images[0]"}));
  EXPECT_FALSE(json.contains("heads"));
}

TEST(JsonOutputTest, PathOfAnyBytesGivesValidJson) {
  const auto json = nlohmann::json::parse(OutcomeJson(MakeGood(0, "a\xff\n\"b", {1})));
  EXPECT_EQ(json["path"], "a\ufffd\n\"b");
}

TEST(JsonOutputTest, WriterPutsOneObjectALineAndSeesAFullDisk) {
  std::ostringstream out;
  const auto writer = NewJsonWriter(out);
  EXPECT_TRUE(writer->Add(MakeGood(0, "a", {1})).ok());
  EXPECT_TRUE(writer->Add(MakeGood(1, "b", {1})).ok());
  EXPECT_TRUE(writer->Finish().ok());
  const std::string text = out.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  out.setstate(std::ios::badbit);
  EXPECT_FALSE(writer->Add(MakeGood(2, "c", {1})).ok());
}

}  // namespace
}  // namespace pixpool::cli
