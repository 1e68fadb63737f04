#include "server/config/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace pixpool {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct Parsed {
  std::vector<std::string> values;  // "name=value@source"
  std::vector<std::string> problems;
};

Parsed Parse(std::string_view text) {
  Parsed parsed;
  for (const RawValue& raw : ParseConfigText(text, "f.toml", &parsed.problems)) {
    parsed.values.push_back(raw.name + "=" + raw.value + "@" + raw.source);
  }
  return parsed;
}

TEST(ConfigFileTest, ReadsNamesValuesAndLines) {
  const Parsed parsed = Parse(
      "# a comment\n"
      "\n"
      "listen = \"0.0.0.0:1\"  # why\n"
      "  max-batch-size=16# tight\n"
      "reflection = false\n"
      "models-dir = 'a\\b # c'\n"
      "name = \"x \\\"y\\\" \\\\ \\t#\"");
  EXPECT_THAT(parsed.problems, IsEmpty());
  EXPECT_THAT(parsed.values,
              ElementsAre("listen=0.0.0.0:1@f.toml:3", "max-batch-size=16@f.toml:4",
                          "reflection=false@f.toml:5", "models-dir=a\\b # c@f.toml:6",
                          "name=x \"y\" \\ \t#@f.toml:7"));
}

TEST(ConfigFileTest, TakesByteOrderMarkAndWindowsLineEnds) {
  const Parsed parsed = Parse(
      "\xEF\xBB\xBF"
      "a = 1\r\nb = \"x\"\r\n");
  EXPECT_THAT(parsed.problems, IsEmpty());
  EXPECT_THAT(parsed.values, ElementsAre("a=1@f.toml:1", "b=x@f.toml:2"));
}

TEST(ConfigFileTest, EmptyTextsAreEmpty) {
  for (const char* text : {"", "\n\n", "# only\n#comments", " \t "}) {
    const Parsed parsed = Parse(text);
    EXPECT_THAT(parsed.values, IsEmpty());
    EXPECT_THAT(parsed.problems, IsEmpty());
  }
}

TEST(ConfigFileTest, EveryProblemIsNamedWithItsLineAndTheRestIsRead) {
  const Parsed parsed = Parse(
      "a = 1\n"
      "[section]\n"
      "nonsense\n"
      "= 3\n"
      "b =\n"
      "c = # nothing\n"
      "d = \"open\n"
      "e = 'open\n"
      "f = \"x\" y\n"
      "g = \"\\q\"\n"
      "h = bare words\n"
      "i = 2\n");
  EXPECT_THAT(parsed.values, ElementsAre("a=1@f.toml:1", "i=2@f.toml:12"));
  ASSERT_THAT(parsed.problems, SizeIs(10));
  for (size_t i = 0; i < parsed.problems.size(); ++i) {
    EXPECT_THAT(parsed.problems[i], HasSubstr("f.toml:" + std::to_string(i + 2) + ": "));
  }
  EXPECT_THAT(parsed.problems.back(), HasSubstr("\"bare words\" needs quotes"));
}

TEST(ConfigFileTest, ProblemsAreFewWhateverTheFile) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "junk\n";
  const Parsed parsed = Parse(text);
  EXPECT_THAT(parsed.problems, SizeIs(21));
  EXPECT_THAT(parsed.problems.back(), HasSubstr("9980 more"));
  EXPECT_THAT(Parse(std::string(500'000, '[')).problems, SizeIs(1)) << "deep nesting";
  EXPECT_THAT(Parse(std::string_view("a = 1\n\0\0", 8)).problems, ElementsAre(HasSubstr("NUL")));
}

TEST(ConfigFileTest, ReadsFilesAndRefusesWhatIsNone) {
  const std::string path = testing::TempDir() + "/config_file_test.toml";
  std::vector<std::string> problems;
  std::ofstream(path) << "a = 1\n";
  EXPECT_THAT(ReadConfigFile(path, &problems), SizeIs(1));
  EXPECT_THAT(problems, IsEmpty());
  std::ofstream(path) << std::string((1 << 20) + 1, '\n');
  EXPECT_THAT(ReadConfigFile(path, &problems), IsEmpty());
  EXPECT_THAT(problems, ElementsAre(HasSubstr("larger than 1 MiB")));
  problems.clear();
  EXPECT_THAT(ReadConfigFile(path + ".missing", &problems), IsEmpty());
  EXPECT_THAT(problems, ElementsAre(HasSubstr("cannot read")));
  problems.clear();
  EXPECT_THAT(ReadConfigFile(testing::TempDir(), &problems), IsEmpty());
  EXPECT_THAT(problems, ElementsAre(HasSubstr("cannot read")));
  std::remove(path.c_str());
}

}  // namespace
}  // namespace pixpool
