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
  EXPECT_EQ(json["stage_times_ms"]["draw"], 0);
}

TEST(JsonOutputTest, DamageOfThePicture) {
  ImageOutcome outcome = MakeGood(0, "a.png", {1});
  EXPECT_FALSE(nlohmann::json::parse(OutcomeJson(outcome)).contains("warnings"));
  outcome.features.add_warnings("the PNG file is damaged");
  EXPECT_EQ(nlohmann::json::parse(OutcomeJson(outcome))["warnings"],
            nlohmann::json({"the PNG file is damaged"}));
}

TEST(JsonOutputTest, FloatsAreShortAndExact) {
  const std::string text = OutcomeJson(MakeGood(0, "a", {0.1f, 1.0f / 3, 1e-30f, NAN}));
  EXPECT_NE(text.find("\"values\":[0.1,0.33333334,1e-30,null]"), std::string::npos) << text;
}

TEST(JsonOutputTest, PackedValuesAreDecodedAndNamed) {
  ImageOutcome outcome = MakeGood(0, "a", {});
  v1::HeadResult& head = *outcome.features.mutable_head_results(0);
  head.set_shape(0, 3);
  head.set_encoding(v1::ENCODING_INT8);
  head.set_packed_values("\x7F\x81\x02");
  head.set_scale(0.5f);
  auto json = nlohmann::json::parse(OutcomeJson(outcome));
  EXPECT_EQ(json["heads"][0]["encoding"], "int8");
  EXPECT_EQ(json["heads"][0]["values"], nlohmann::json({63.5, -63.5, 1}));
  head.set_encoding(v1::ENCODING_BINARY);
  head.set_packed_values("\xA0");
  json = nlohmann::json::parse(OutcomeJson(outcome));
  EXPECT_EQ(json["heads"][0]["encoding"], "binary");
  EXPECT_EQ(json["heads"][0]["values"], nlohmann::json({1, 0, 1}));
  EXPECT_EQ(json["heads"][0]["shape"], nlohmann::json({3}));
  json = nlohmann::json::parse(OutcomeJson(MakeGood(0, "a", {1})));
  EXPECT_FALSE(json["heads"][0].contains("encoding"));
}

TEST(JsonOutputTest, ActivationMaps) {
  auto json = nlohmann::json::parse(OutcomeJson(MakeMap(0, "a", "")));
  EXPECT_EQ(json["heads"][0]["values"], nlohmann::json({0.5, -1, 0, 2}));
  EXPECT_EQ(json["heads"][0]["shape"], nlohmann::json({2, 2}));
  const nlohmann::json& map = json["heads"][0]["activation_map"];
  EXPECT_EQ(map["class_score"],
            nlohmann::json({{"class_index", 285}, {"label", "Egyptian cat"}, {"score", 0.75}}));
  EXPECT_EQ(
      map["box"],
      nlohmann::json({{"left_px", 12}, {"top_px", 30}, {"right_px", 220}, {"bottom_px", 190}}));
  EXPECT_FALSE(map.contains("png_bytes"));
  const std::string text = OutcomeJson(MakeMap(0, "a", "\x89PNG"));
  json = nlohmann::json::parse(text);
  EXPECT_EQ(json["heads"][0]["activation_map"]["png_bytes"], 4);
  EXPECT_FALSE(json["heads"][0].contains("values"));
  EXPECT_EQ(text.find("PNG"), std::string::npos);
  EXPECT_FALSE(nlohmann::json::parse(OutcomeJson(MakeGood(0, "a", {1})))["heads"][0].contains(
      "activation_map"));
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
