#include "client/cli/text.h"

#include <map>

#include "gtest/gtest.h"

namespace pixpool::cli {
namespace {

Style Detect(bool terminal, std::map<std::string, std::string> env) {
  return DetectStyle(terminal, [&](const char* name) { return env[name]; });
}

TEST(TextTest, StyleFollowsTerminalAndEnvironment) {
  EXPECT_FALSE(Detect(false, {}).utf8);
  EXPECT_FALSE(Detect(false, {{"LANG", "C"}}).utf8);
  EXPECT_TRUE(Detect(false, {{"LANG", "de_DE.UTF-8"}}).utf8);
  EXPECT_TRUE(Detect(false, {{"LANG", "C.utf8"}}).utf8);
  EXPECT_FALSE(Detect(false, {{"LC_ALL", "C"}, {"LANG", "C.UTF-8"}}).utf8);
  EXPECT_FALSE(Detect(false, {{"LANG", "C.UTF-8"}}).colour);
  EXPECT_TRUE(Detect(true, {}).utf8);
  EXPECT_TRUE(Detect(true, {}).colour);
  EXPECT_FALSE(Detect(true, {{"NO_COLOR", "1"}}).colour);
  EXPECT_FALSE(Detect(true, {{"TERM", "dumb"}}).colour);
}

TEST(TextTest, PrintableDisarmsWhatCouldSteerATerminal) {
  EXPECT_EQ(Printable("caf\u00e9 \u732b.png"), "caf\u00e9 \u732b.png");
  EXPECT_EQ(Printable("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "?31m");  // CSI as one character
  EXPECT_EQ(Printable("\xff"
                      "a\xc3"),
            "?a?");                                       // not UTF-8, cut off
  EXPECT_EQ(Printable("\xc0\xaf\xed\xa0\x80"), "?????");  // overlong, surrogate
}

TEST(TextTest, DisplayWidthCountsCharacters) {
  EXPECT_EQ(DisplayWidth(""), 0u);
  EXPECT_EQ(DisplayWidth("caf\u00e9"), 4u);
  EXPECT_EQ(DisplayWidth(Style{true, true}.Bold("abc")), 3u);
}

TEST(TextTest, ShortPathKeepsTheEnd) {
  EXPECT_EQ(ShortPath("a/b/cat.png", 11), "a/b/cat.png");
  EXPECT_EQ(ShortPath("/long/way/to/cat.png", 14), ".../to/cat.png");
  EXPECT_EQ(ShortPath("/long/way/to/cat.png", 13), ".../cat.png");
  EXPECT_EQ(ShortPath("a-very-long-name.png", 10), "...ame.png");
  EXPECT_EQ(ShortPath("/x/na\u00efve\u00efve.png", 9), "...ve.png");
  EXPECT_EQ(ShortPath("/x/\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4.png", 9), "...\u00e4\u00e4.png");
}

TEST(TextTest, WrapBreaksAtSpaces) {
  EXPECT_EQ(Wrap("", 5), "");
  EXPECT_EQ(Wrap("one two three", 7), "one two\nthree");
  EXPECT_EQ(Wrap("one two three", 6), "one\ntwo\nthree");
  EXPECT_EQ(Wrap("overlong word", 4), "overlong\nword");
  EXPECT_EQ(Wrap("\u00e9\u00e9 \u00e9\u00e9", 5), "\u00e9\u00e9 \u00e9\u00e9");
}

TEST(TextTest, Bars) {
  const Style ascii{false, false};
  EXPECT_EQ(ascii.Bar(0.5, 10), "#####");
  EXPECT_EQ(ascii.Bar(2.0, 10), "##########");
  EXPECT_EQ(ascii.Bar(-1.0, 10), "");
  const Style utf8{true, false};
  EXPECT_EQ(utf8.Bar(0.25, 10), "\u2588\u2588\u258c");
  EXPECT_EQ(utf8.Bar(1.0, 2), "\u2588\u2588");
}

TEST(TextTest, ColourOnlyWhereWanted) {
  EXPECT_EQ((Style{true, false}.Bold("a")), "a");
  EXPECT_EQ((Style{true, true}.Bold("a")), "\x1b[1ma\x1b[0m");
}

TEST(TextTest, Shapes) {
  EXPECT_EQ(ShapeText({1280}), "1280");
  EXPECT_EQ(ShapeText({1280, 7, 5}), "1280 x 7 x 5");
}

}  // namespace
}  // namespace pixpool::cli
