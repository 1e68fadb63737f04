#include "client/cli/report.h"

#include <sstream>

#include "absl/strings/str_split.h"
#include "client/cpp/heads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/outcomes.h"

namespace pixpool::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Box(const ImageOutcome& outcome, const std::vector<v1::Head>& heads = {}) {
  Notes shown;
  return PictureBox(outcome, heads, Style{}, shown);
}

TEST(ReportTest, PictureBox) {
  EXPECT_EQ(
      Box(MakeGood(0, "cat.png", {0.5f, -1.25f}, true)),
      "+----------------------------------------------------------------------------------------+\n"
      "| cat.png  300 x 200 px, network input 320 x 224                                         |\n"
      "+--------------+-------------------------------------------------------------------------+\n"
      "| class_scores |  1  Egyptian cat   75.00 %  ###############                             |\n"
      "|              |  2  class 7        12.50 %  ###                                         |\n"
      "+--------------+-------------------------------------------------------------------------+\n"
      "| global_avg   | 2 values, layer stage5, space 0123456789abcdef0123456789abcdef          |\n"
      "|              |    0.5000  -1.2500                                                      |\n"
      "+--------------+-------------------------------------------------------------------------+"
      "\n");
}

TEST(ReportTest, LogitsAreNoPercentages) {
  const auto head = client::ParseHead("class_scores:score_type=logits");
  const std::string box = Box(MakeGood(0, "a", {1}, true), {*head});
  EXPECT_THAT(box, HasSubstr("0.7500"));
  EXPECT_THAT(box, Not(HasSubstr("%")));
}

TEST(ReportTest, ManyValuesAreCutAndWarningsShown) {
  ImageOutcome outcome = MakeGood(0, "a", std::vector<float>(100, 1.0f));
  outcome.features.mutable_head_results(0)->add_warnings("mind\nthis");
  const std::string box = Box(outcome);
  EXPECT_THAT(box, HasSubstr("1.0000  ..."));
  EXPECT_THAT(box, HasSubstr("note: mind?this"));
}

TEST(ReportTest, DamageOfThePictureIsANoteOfItsOwn) {
  ImageOutcome outcome = MakeGood(0, "a", {1});
  EXPECT_THAT(Box(outcome), Not(HasSubstr("| note ")));
  outcome.features.add_warnings("the PNG file is damaged");
  EXPECT_THAT(Box(outcome), HasSubstr("| note "));
  EXPECT_THAT(Box(outcome), HasSubstr("the PNG file is damaged"));
}

TEST(ReportTest, WhatNamesAnOptionIsForTheWholeRun) {
  ImageOutcome outcome = MakeGood(0, "a", {1});
  outcome.features.add_warnings("transparent (--background)");
  EXPECT_THAT(Box(outcome), Not(HasSubstr("transparent")));
}

TEST(ReportTest, WarningsAreShownOnceAHead) {
  std::ostringstream out;
  const auto writer = NewReportWriter(out, {}, Style{});
  for (const char* path : {"a.png", "b.png"}) {
    ImageOutcome outcome = MakeGood(0, path, {1});
    v1::HeadResult other = outcome.features.head_results(0);
    other.set_head_id("gem");
    *outcome.features.add_head_results() = other;
    for (v1::HeadResult& head : *outcome.features.mutable_head_results()) {
      head.add_warnings("negative values are lost");
    }
    EXPECT_TRUE(writer->Add(outcome).ok());
  }
  const std::vector<std::string> parts =
      absl::StrSplit(out.str(), "note: negative values are lost");
  ASSERT_EQ(parts.size(), 3u);  // once for each of the two heads
  EXPECT_THAT(parts[1], HasSubstr("| gem "));
  EXPECT_THAT(parts[2], HasSubstr("b.png"));
}

TEST(ReportTest, EncodedValuesAreDecoded) {
  ImageOutcome outcome = MakeGood(0, "a", {});
  v1::HeadResult& head = *outcome.features.mutable_head_results(0);
  head.set_shape(0, 2);
  head.set_encoding(v1::ENCODING_FLOAT16);
  head.set_packed_values(std::string("\x00\x3C\x00\xC0", 4));
  std::string box = Box(outcome);
  EXPECT_THAT(box, HasSubstr("2 values, float16, layer stage5, space"));
  EXPECT_THAT(box, HasSubstr("1.0000  -2.0000"));
  head.set_shape(0, 40);
  head.set_encoding(v1::ENCODING_BINARY);
  head.set_packed_values("\xA0\xFF\xFF\xFF\xFF");
  box = Box(outcome);
  EXPECT_THAT(box, HasSubstr("40 values, binary, layer"));
  EXPECT_THAT(box, HasSubstr(" 1 0 1 0 0 0 0 0 1 1 1 1 1"));
  EXPECT_THAT(box, HasSubstr(" 1  ... "));
}

TEST(ReportTest, AHeadOnAVectorHasNoLayer) {
  ImageOutcome outcome = MakeGood(0, "a", {});
  outcome.features.mutable_head_results(0)->clear_layer();
  EXPECT_THAT(Box(outcome), HasSubstr(" values, space "));
}

TEST(ReportTest, ActivationMaps) {
  const std::string floats = Box(MakeMap(0, "a", ""));
  EXPECT_THAT(floats, HasSubstr("Egyptian cat  75.00 %, box (12, 30) to (220, 190)"));
  EXPECT_THAT(floats, HasSubstr("2 x 2 values, layer stage5"));
  EXPECT_THAT(floats, HasSubstr("0.5000  -1.0000   0.0000   2.0000"));
  ImageOutcome blank = MakeMap(0, "a", "12345");
  v1::ActivationMap& map = *blank.features.mutable_head_results(0)->mutable_activation_map();
  map.clear_box();
  map.mutable_class_score()->clear_label();
  const std::string png = Box(blank);
  EXPECT_THAT(png, HasSubstr("class 285  75.00 %, box none"));
  EXPECT_THAT(png, HasSubstr("PNG of 5 bytes, layer stage5"));
  EXPECT_THAT(png, Not(HasSubstr("values")));
}

TEST(ReportTest, FailedPicture) {
  const std::string box = Box(MakeBad(0, "a\x1b.png", absl::InvalidArgumentError("broken")));
  EXPECT_THAT(box, HasSubstr("a?.png"));
  EXPECT_THAT(box, HasSubstr("failed | INVALID_ARGUMENT: broken"));
}

TEST(ReportTest, LongSentencesDoNotWidenTheBox) {
  std::string sentence = "word";
  for (int i = 0; i < 60; ++i) sentence += " word";
  ImageOutcome warned = MakeGood(0, "a", {1});
  warned.features.mutable_head_results(0)->add_warnings(sentence);
  for (const std::string& box :
       {Box(warned), Box(MakeBad(0, "a", absl::InvalidArgumentError(sentence)))}) {
    EXPECT_LE(box.find('\n'), 100u) << box;
  }
}

TEST(ReportTest, StageTimesAddUp) {
  v1::StageTimes times = MakeGood(0, "a.png", {1}).features.stage_times();
  times.mutable_draw()->set_nanos(2'000'000);
  const std::string table = StageTable({{"a.png", times}}, Style{});
  EXPECT_THAT(table, HasSubstr("| milliseconds | queue | decode | preprocess | batch wait | "
                               "backbone | heads | draw |   total |"));
  EXPECT_THAT(table, HasSubstr("| a.png        |  0.00 |   1.25 |       0.00 |       0.00 |  "
                               "1000.00 |  0.00 | 2.00 | 1003.25 |"));
  EXPECT_EQ(StageTable({}, Style{}), "");
}

TEST(ReportTest, WriterEndsWithStagesAndModel) {
  std::ostringstream out;
  const auto writer = NewReportWriter(out, {}, Style{});
  EXPECT_TRUE(writer->Add(MakeGood(0, "a.png", {1})).ok());
  EXPECT_THAT(out.str(), HasSubstr("a.png"));  // at once, not at the end
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_THAT(out.str(), HasSubstr("backbone"));
  EXPECT_THAT(out.str(), testing::EndsWith("model m, version 2\n"));
}

TEST(ReportTest, LabelTable) {
  std::ostringstream out;
  const auto writer = NewLabelWriter(out, Style{});
  EXPECT_TRUE(writer->Add(MakeGood(0, "a.png", {1}, true)).ok());
  EXPECT_TRUE(writer->Add(MakeBad(1, "b.png", absl::InvalidArgumentError("broken"))).ok());
  EXPECT_TRUE(writer->Finish().ok());
  EXPECT_THAT(out.str(), HasSubstr("| a.png   |  1  Egyptian cat   75.00 %"));
  EXPECT_THAT(out.str(), HasSubstr("| b.png   | failed: INVALID_ARGUMENT: broken"));
}

}  // namespace
}  // namespace pixpool::cli
