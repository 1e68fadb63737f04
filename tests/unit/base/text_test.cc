#include "server/base/text.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

TEST(TextTest, ViewsConvertBothWays) {
  const std::string_view text("a\0b", 3);
  EXPECT_EQ(ToStd(ToAbsl(text)), text);
  EXPECT_EQ(ToAbsl(text).data(), text.data()) << "nothing is copied";
}

TEST(TextTest, ConcatTakesAllThatStrCatTakesAndStdViews) {
  const std::string text = "b";
  const std::string_view view = "d";
  EXPECT_EQ(Concat("a", text, 3, view, absl::string_view("e"), 1.5), "ab3de1.5");
  EXPECT_EQ(Concat(), "");
}

TEST(FirstLine, CutsTheStackTrace) {
  EXPECT_EQ(FirstLine("what went wrong\nframe #0\nframe #1"), "what went wrong");
  EXPECT_EQ(FirstLine("one line"), "one line");
  EXPECT_EQ(FirstLine(""), "");
}

}  // namespace
}  // namespace pixpool
