#include "server/base/json_text.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

std::string Json(std::string_view text) {
  std::string out;
  AppendJsonString(&out, text);
  return out;
}

TEST(JsonTextTest, PlainTextAndUtf8PassThrough) {
  EXPECT_EQ(Json("cat.jpg"), "\"cat.jpg\"");
  EXPECT_EQ(Json(""), "\"\"");
  const std::string utf8 = "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x90\x88 \xEF\xBF\xBD";
  EXPECT_EQ(Json(utf8), "\"" + utf8 + "\"");
}

TEST(JsonTextTest, ControlsAreEscaped) {
  EXPECT_EQ(Json("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(Json("a\nb\tc\rd"), R"("a\nb\tc\u000dd")");
  EXPECT_EQ(Json(std::string_view("\0\x1b[31m\x7f", 7)), R"("\u0000\u001b[31m\u007f")");
  EXPECT_EQ(Json("\xC2\x9B"), R"("\u009b")") << "a terminal may take it for an escape sequence";
  EXPECT_EQ(Json("\xC2\xA0"), "\"\xC2\xA0\"");
}

TEST(JsonTextTest, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(Json("a\xFF"
                 "b"),
            "\"a" + r + "b\"");
  EXPECT_EQ(Json("\x80"), "\"" + r + "\"") << "a continuation alone";
  EXPECT_EQ(Json("\xE2\x82"), "\"" + r + r + "\"") << "cut off";
  EXPECT_EQ(Json("\xC0\xAF"), "\"" + r + r + "\"") << "overlong slash";
  EXPECT_EQ(Json("\xE0\x80\xAF"), "\"" + r + r + r + "\"") << "overlong slash";
  EXPECT_EQ(Json("\xF0\x80\x80\xAF"), "\"" + r + r + r + r + "\"") << "overlong slash";
  EXPECT_EQ(Json("\xED\xA0\x80"), "\"" + r + r + r + "\"") << "surrogate";
  EXPECT_EQ(Json("\xF4\x90\x80\x80"), "\"" + r + r + r + r + "\"") << "above U+10FFFF";
  EXPECT_EQ(Json("\xC3("), "\"" + r + "(\"") << "the byte after a bad lead is kept";
}

}  // namespace
}  // namespace pixpool
