#include "server/isolation/archive.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

enum class Colour : uint8_t { kRed, kBlue };

TEST(ArchiveTest, ReadsWhatWasWritten) {
  ArchiveWriter writer;
  writer(int64_t{-7}, 2.5, true, false, Colour::kBlue, std::string("a\0b", 3),
         std::vector<double>{1, 0.5}, std::pair(3, std::string("x")));
  const std::string bytes = writer.Take();
  ArchiveReader reader(bytes);
  int64_t number = 0;
  double real = 0;
  bool yes = false;
  bool no = true;
  Colour colour = Colour::kRed;
  std::string text;
  std::vector<double> list = {9};
  std::pair<int, std::string> pair;
  reader(number, real, yes, no, colour, text, list, pair);
  EXPECT_TRUE(reader.done());
  EXPECT_EQ(number, -7);
  EXPECT_EQ(real, 2.5);
  EXPECT_TRUE(yes);
  EXPECT_FALSE(no);
  EXPECT_EQ(colour, Colour::kBlue);
  EXPECT_EQ(text, std::string("a\0b", 3));
  EXPECT_EQ(list, (std::vector<double>{1, 0.5}));
  EXPECT_EQ(pair, std::pair(3, std::string("x")));
}

TEST(ArchiveTest, EveryCutIsNoticed) {
  ArchiveWriter writer;
  writer(std::string("text"), std::vector<int>{1, 2, 3});
  const std::string bytes = writer.Take();
  for (size_t end = 0; end < bytes.size(); ++end) {
    ArchiveReader reader(std::string_view(bytes).substr(0, end));
    std::string text;
    std::vector<int> list;
    reader(text, list);
    EXPECT_FALSE(reader.ok()) << end;
  }
  const std::string one_more = bytes + "x";
  ArchiveReader longer(one_more);
  std::string text;
  std::vector<int> list;
  longer(text, list);
  EXPECT_TRUE(longer.ok());
  EXPECT_FALSE(longer.done());
}

TEST(ArchiveTest, AWrongCountTakesNoMemory) {
  const std::string bytes = "\xff\xff\xff\xff\1\2";
  ArchiveReader reader(bytes);
  std::vector<uint8_t> list;
  reader(list);
  EXPECT_FALSE(reader.ok());
  EXPECT_LE(list.size(), 3u);
}

}  // namespace
}  // namespace pixpool
