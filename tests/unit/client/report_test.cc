#include "client/cli/report.h"

#include <sstream>

#include "client/cpp/heads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/outcomes.h"

namespace pixpool::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ReportTest, PictureBox) {
  EXPECT_EQ(
      PictureBox(MakeGood(0, "cat.png", {0.5f, -1.25f}, true), {}, Style{}),
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
  const std::string box = PictureBox(MakeGood(0, "a", {1}, true), {*head}, Style{});
  EXPECT_THAT(box, HasSubstr("0.7500"));
  EXPECT_THAT(box, Not(HasSubstr("%")));
}

TEST(ReportTest, ManyValuesAreCutAndWarningsShown) {
  ImageOutcome outcome = MakeGood(0, "a", std::vector<float>(100, 1.0f));
  outcome.features.mutable_head_results(0)->add_warnings("mind\nthis");
  const std::string box = PictureBox(outcome, {}, Style{});
  EXPECT_THAT(box, HasSubstr("1.0000  ..."));
  EXPECT_THAT(box, HasSubstr("note: mind?this"));
}

TEST(ReportTest, FailedPicture) {
  const std::string box =
      PictureBox(MakeBad(0, "a\x1b.png", absl::InvalidArgumentError("broken")), {}, Style{});
  EXPECT_THAT(box, HasSubstr("a?.png"));
  EXPECT_THAT(box, HasSubstr("failed | INVALID_ARGUMENT: broken"));
}

TEST(ReportTest, StageTimesAddUp) {
  const auto outcome = MakeGood(0, "a.png", {1});
  const std::string table = StageTable({{"a.png", outcome.features.stage_times()}}, Style{});
  EXPECT_THAT(table, HasSubstr("| milliseconds | queue | decode | preprocess | batch wait | "
                               "backbone | heads |   total |"));
  EXPECT_THAT(table, HasSubstr("| a.png        |  0.00 |   1.25 |       0.00 |       0.00 |  "
                               "1000.00 |  0.00 | 1001.25 |"));
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
