#include "client/cli/table.h"

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace pixpool::cli {
namespace {

Table Sample(Style style) {
  Table table(style);
  table.AddTitle("cat.png");
  table.AddRule();
  table.AddRow({"head", "1\n2"});
  table.AddRule();
  table.AddRow({"caf\u00e9", "12345"});
  table.AlignRight(1);
  return table;
}

TEST(TableTest, Ascii) {
  EXPECT_EQ(Sample({false, false}).Render(),
            "+--------------+\n"
            "| cat.png      |\n"
            "+------+-------+\n"
            "| head |     1 |\n"
            "|      |     2 |\n"
            "+------+-------+\n"
            "| caf\u00e9 | 12345 |\n"
            "+------+-------+\n");
}

TEST(TableTest, BoxLines) {
  const std::string text = absl::StrReplaceAll(Sample({true, false}).Render(), {{"\u2500", "-"},
                                                                                {"\u2502", "|"},
                                                                                {"\u250c", "/"},
                                                                                {"\u2510", "\\"},
                                                                                {"\u2514", "L"},
                                                                                {"\u2518", "J"},
                                                                                {"\u251c", "["},
                                                                                {"\u2524", "]"},
                                                                                {"\u252c", "T"},
                                                                                {"\u2534", "A"},
                                                                                {"\u253c", "X"}});
  EXPECT_EQ(text,
            "/--------------\\\n"
            "| cat.png      |\n"
            "[------T-------]\n"
            "| head |     1 |\n"
            "|      |     2 |\n"
            "[------X-------]\n"
            "| caf\u00e9 | 12345 |\n"
            "L------A-------J\n");
}

TEST(TableTest, StylesDoNotShiftColumns) {
  Table table(Style{false, true});
  table.AddRow({table.Render(), Style{false, true}.Bold("ab"), "c"});
  table.AddRow({"", "abcd", "c"});
  const std::vector<std::string> lines = absl::StrSplit(table.Render(), '\n');
  EXPECT_EQ(DisplayWidth(lines[1]), DisplayWidth(lines[2]));
}

TEST(TableTest, LongTitleWidensTheBox) {
  Table table(Style{});
  table.AddTitle("a long title");
  table.AddRow({"a", "b"});
  const std::vector<std::string> lines = absl::StrSplit(table.Render(), '\n');
  for (size_t i = 0; i + 1 < lines.size(); ++i) EXPECT_EQ(lines[i].size(), 16u) << lines[i];
}

TEST(TableTest, MinimumWidth) {
  Table table(Style{});
  table.AddRow({"a", "b"});
  table.SetMinimumWidth(12);
  EXPECT_EQ(table.Render(), "+---+------+\n| a | b    |\n+---+------+\n");
}

TEST(TableTest, MissingCellsAndNoRows) {
  Table table(Style{});
  EXPECT_EQ(table.Render(), "");
  table.AddRow({"a", "b"});
  table.AddRow({"c"});
  EXPECT_EQ(table.Render(), "+---+---+\n| a | b |\n| c |   |\n+---+---+\n");
}

}  // namespace
}  // namespace pixpool::cli
