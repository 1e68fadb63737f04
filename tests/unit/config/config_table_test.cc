#include "server/config/config_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <clocale>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/base/listen_address.h"

namespace pixpool {
namespace {

const OptionRow& Row(std::string_view name) {
  const OptionRow* row = FindOption(name);
  EXPECT_NE(row, nullptr) << name;
  return *row;
}

bool Accepts(std::string_view name, std::string_view text) {
  Config config;
  return !SetOption(Row(name), text, &config).has_value();
}

TEST(ConfigTableTest, NamesAreUniqueAndDefaultsAreInRange) {
  std::set<std::string_view> names;
  for (const OptionRow& row : OptionTable()) {
    EXPECT_TRUE(names.insert(row.name()).second) << row.name();
    EXPECT_FALSE(row.help.empty()) << row.name();
    Config config;
    std::string value = FormatOption(row, config);
    if (value.front() == '"') value = value.substr(1, value.size() - 2);
    EXPECT_EQ(SetOption(row, value, &config), std::nullopt) << row.name();
    EXPECT_EQ(FormatOption(row, config), FormatOption(row, Config{})) << row.name();
  }
  EXPECT_EQ(FindOption("no-such-option"), nullptr);
}

TEST(ConfigTableTest, EachOptionHasAPlaceOfItsOwn) {
  std::set<std::pair<int, int>> places;
  for (const OptionRow& row : OptionTable()) {
    EXPECT_TRUE(places.insert({row.group.place, row.place}).second)
        << row.flag << " shares place " << row.place << " of " << row.group.title;
  }
  EXPECT_TRUE(std::is_sorted(
      OptionTable().begin(), OptionTable().end(), [](const OptionRow& a, const OptionRow& b) {
        return std::pair(a.group.place, a.place) < std::pair(b.group.place, b.place);
      }));
}

// The layers' structs hold their members in another order than the table has its rows.
TEST(ConfigTableTest, EachRowSetsItsOwnOption) {
  for (const OptionRow& row : OptionTable()) {
    Config config;
    const std::string before = FormatOption(row, config);
    std::string other;
    switch (row.kind) {
      case OptionKind::kSwitch:
        other = before == "true" ? "false" : "true";
        break;
      case OptionKind::kNumber:
      case OptionKind::kBytes:
        other = std::to_string(row.initial.number == row.max ? row.min : row.max);
        break;
      case OptionKind::kChoice:
      case OptionKind::kChoices:
        other = row.choices.back();
        break;
      case OptionKind::kDevice:
        other = "cuda:7";
        break;
      case OptionKind::kMetadata:
        other = "x-caller";
        break;
      case OptionKind::kSample:
        other = "1/50";
        break;
      case OptionKind::kText:
      case OptionKind::kAddress:
      case OptionKind::kListen:
        other = "other:1";
        break;
    }
    ASSERT_EQ(SetOption(row, other, &config), std::nullopt) << row.flag;
    std::vector<std::string_view> changed;
    for (const OptionRow& each : OptionTable()) {
      if (FormatOption(each, config) != FormatOption(each, Config{})) changed.push_back(each.flag);
    }
    EXPECT_EQ(changed, std::vector<std::string_view>{row.flag});
  }
}

TEST(ConfigTableTest, AListHasChoicesWithCommas) {
  for (const char* good : {"all", "jpeg", "jpeg,png", "webp,avif,jpeg"}) {
    EXPECT_TRUE(Accepts("formats", good)) << good;
  }
  Config config;
  const OptionRow& row = Row("formats");
  const std::map<std::string, std::string> bad = {
      {"", "must not be empty"},
      {"jpeg,jpeg", "has jpeg twice"},
      {"jpg", "has \"jpg\", which is not one of all, jpeg, png"},
      {"jpeg,", "has \"\", which is not one of all, jpeg"},
      {"jpeg, png", "has \" png\", which is not one of all, jpeg"},
      {"JPEG", "has \"JPEG\", which is not one of all, jpeg"}};
  for (const auto& [text, problem] : bad) {
    const std::optional<std::string> found = SetOption(row, text, &config);
    ASSERT_TRUE(found.has_value()) << text;
    EXPECT_EQ(found->substr(0, problem.size()), problem) << text;
  }
}

// Flag -> default, as the table of docs/configuration.md has them: "`--flag`" in the third column.
std::map<std::string, std::string> DocumentedLimits() {
  std::ifstream file(PIXPOOL_CONFIGURATION_MD);
  std::map<std::string, std::string> limits;
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> cells = absl::StrSplit(line, " | ");
    if (cells.size() != 3 || cells[2].substr(0, 3) != "`--") continue;
    limits[cells[2].substr(1, cells[2].rfind('`') - 1)] =
        absl::StrReplaceAll(cells[1], {{",", ""}});
  }
  return limits;
}

TEST(ConfigTableTest, TheDocsHaveEveryLimitWithItsDefault) {
  const std::map<std::string, std::string> documented = DocumentedLimits();
  size_t limits = 0;
  for (const OptionRow& row : OptionTable()) {
    const int group = row.group.place;
    const bool admission = group == kAdmissionGroup.place && row.flag.starts_with("--max");
    const bool limit = group == kLimitsGroup.place || group == kConnectionsGroup.place;
    if (!limit && !admission) continue;
    ++limits;
    const auto found = documented.find(std::string(row.flag));
    ASSERT_NE(found, documented.end()) << row.flag << " has no row in docs/configuration.md";
    Config config;
    EXPECT_EQ(SetOption(row, found->second, &config), std::nullopt) << row.flag;
    EXPECT_EQ(FormatOption(row, config), FormatOption(row, Config{})) << row.flag;
  }
  EXPECT_EQ(documented.size(), limits) << "docs/configuration.md has a limit that is none";
}

// Every number at its bounds and one beyond them, and texts that are no number.
TEST(ConfigTableTest, NumbersAreBounded) {
  for (const OptionRow& row : OptionTable()) {
    if (row.kind != OptionKind::kNumber && row.kind != OptionKind::kBytes) continue;
    EXPECT_LT(row.min, row.max) << row.name();
    EXPECT_TRUE(Accepts(row.name(), std::to_string(row.min))) << row.name();
    EXPECT_TRUE(Accepts(row.name(), std::to_string(row.max))) << row.name();
    for (const std::string& text : {std::to_string(row.min - 1), std::to_string(row.max + 1)}) {
      Config config;
      const auto problem = SetOption(row, text, &config);
      ASSERT_TRUE(problem.has_value()) << row.name() << " " << text;
      EXPECT_NE(problem->find(RangeText(row)), std::string::npos) << *problem;
      EXPECT_EQ(FormatOption(row, config), FormatOption(row, Config{})) << "left as it was";
    }
    for (const char* text : {"1e3", "0x10", "", " ", "1.0", "+1", " 1", "1 ", "1_0", "--1", "-",
                             "one", "99999999999999999999999", "-99999999999999999999999", "1\n"}) {
      EXPECT_FALSE(Accepts(row.name(), text)) << row.name() << " '" << text << "'";
    }
  }
  EXPECT_FALSE(Accepts("max-batch-size", "99999999999"));
}

TEST(ConfigTableTest, ValuesReachTheirMember) {
  Config config;
  EXPECT_EQ(SetOption(Row("max-batch-size"), "17", &config), std::nullopt);
  EXPECT_EQ(config.pipeline.max_batch_size, 17);
  EXPECT_EQ(SetOption(Row("max-in-flight-pixels"), "5000000000", &config), std::nullopt);
  EXPECT_EQ(config.pipeline.admission.max_pixels, 5'000'000'000);
  EXPECT_EQ(SetOption(Row("reflection"), "false", &config), std::nullopt);
  EXPECT_FALSE(config.rpc.reflection);
  EXPECT_EQ(SetOption(Row("models-dir"), "some dir", &config), std::nullopt);
  EXPECT_EQ(config.repository.models_dir.value(), "some dir");
}

TEST(ConfigTableTest, BytesTakeBinarySuffixes) {
  Config config;
  for (const auto& [text, value] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"2048", 2048}, {"2KiB", 2048}, {"3 MiB", 3 << 20}, {"1GiB", 1 << 30}}) {
    EXPECT_EQ(SetOption(Row("max-image-bytes"), text, &config), std::nullopt) << text;
    EXPECT_EQ(config.pipeline.image.max_bytes, value) << text;
  }
  for (const char* text :
       {"KiB", "1KB", "1K", "1kib", "1.5MiB", "9223372036854775807KiB", "-1KiB", "1MiBMiB"}) {
    EXPECT_FALSE(Accepts("max-image-bytes", text)) << text;
  }
  EXPECT_FALSE(Accepts("max-batch-size", "1KiB")) << "a count has no suffix";
}

TEST(ConfigTableTest, SwitchesTakeTwoWords) {
  EXPECT_TRUE(Accepts("reflection", "true"));
  for (const char* text : {"", "1", "TRUE", "yes", "on"}) {
    EXPECT_FALSE(Accepts("reflection", text)) << text;
  }
}

TEST(ConfigTableTest, ChoicesAndDevices) {
  for (const char* text : {"debug", "off"}) EXPECT_TRUE(Accepts("log-level", text)) << text;
  for (const char* text : {"", "INFO", "debug|info", "trace"}) {
    EXPECT_FALSE(Accepts("log-level", text)) << text;
  }
  for (const char* text : {"auto", "cpu", "cuda", "cuda:0", "cuda:15"}) {
    EXPECT_TRUE(Accepts("device", text)) << text;
  }
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1000", "cpu:0"}) {
    EXPECT_FALSE(Accepts("device", text)) << text;
  }
}

TEST(ConfigTableTest, SamplesOfTheLog) {
  for (const char* text : {"all", "failed", "1/1", "1/100", "1/1000000"}) {
    EXPECT_TRUE(Accepts("log-requests", text)) << text;
  }
  for (const char* text : {"", "none", "1/0", "1/", "2/3", "1/ 5", "1/+5", "1/-5", "1/1000001",
                           "1/99999999999999999999", "0.1", "10%"}) {
    EXPECT_FALSE(Accepts("log-requests", text)) << text;
  }
}

TEST(ConfigTableTest, Addresses) {
  for (const char* text :
       {"127.0.0.1:0", "localhost:65535", "[::1]:50051", "a-b.c:1", "unix:/run/pixpool.sock",
        "unix:///run/pixpool.sock", "127.0.0.1:1,[::1]:1,unix:/a,unix:/b"}) {
    EXPECT_TRUE(Accepts("listen", text)) << text;
  }
  for (const char* text :
       {"", "127.0.0.1", ":1", "h:", "h:65536", "h:-1", "h:1e3", "::1:50051", "[]:1", "h :1",
        "http://h:1", "h:123456", "unix:50051", "unix:", "unix://a", "h:1,", "h:1, h:2"}) {
    EXPECT_FALSE(Accepts("listen", text)) << text;
  }
  Config config;
  EXPECT_EQ(SetOption(Row("listen"), "h:1,unix:/a,h:1", &config), "has h:1 twice");
  EXPECT_THAT(
      *SetOption(Row("listen"), "h:1,nonsense", &config),
      testing::HasSubstr("has \"nonsense\", which is not host:port with a port of 0 to 65535"));
  EXPECT_TRUE(Accepts("listen", "unix:/" + std::string(kMostPathBytes - 1, 'a')));
  EXPECT_FALSE(Accepts("listen", "unix:/" + std::string(kMostPathBytes, 'a')));
  EXPECT_EQ(ParseListenAddress("unix:///run/a.sock")->path, "/run/a.sock");
  EXPECT_FALSE(Accepts("http-listen", "unix:/a"));
  EXPECT_TRUE(Accepts("http-listen", "")) << "turns the endpoint off";
  EXPECT_EQ(ParseHostPort("[::1]:80")->host, "::1");
  EXPECT_EQ(ParseHostPort("[::1]:80")->port, 80);
  EXPECT_EQ(WithPort("[::1]:0", 4711), "[::1]:4711");
  EXPECT_EQ(WithPort("localhost:8080", 8080), "localhost:8080");
}

TEST(ConfigTableTest, TextsMustBePrintable) {
  EXPECT_FALSE(Accepts("models-dir", ""));
  EXPECT_FALSE(Accepts("models-dir", std::string_view("a\0b", 3)));
  EXPECT_FALSE(Accepts("models-dir", "a\nb"));
  EXPECT_TRUE(Accepts("default-model", ""));
}

TEST(ConfigTableTest, TheLocaleChangesNothing) {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  if (std::setlocale(LC_ALL, "de_DE.UTF-8") == nullptr) std::setlocale(LC_ALL, "C.UTF-8");
  EXPECT_TRUE(Accepts("max-in-flight-pixels", "5000000000"));
  EXPECT_FALSE(Accepts("max-in-flight-pixels", "5.000.000.000"));
  EXPECT_EQ(FormatOption(Row("max-in-flight-pixels"), Config{}), "400000000");
  std::setlocale(LC_ALL, before.c_str());
}

TEST(ConfigTableTest, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string> names = {"max-batch-size", "listen", "device"};
  EXPECT_EQ(DidYouMean("max-batchsize", names), ", did you mean max-batch-size?");
  EXPECT_EQ(DidYouMean("max_batch_size", names), ", did you mean max-batch-size?");
  EXPECT_EQ(DidYouMean("lisen", names), ", did you mean listen?");
  EXPECT_EQ(DidYouMean("entirely-else", names), "");
  EXPECT_EQ(DidYouMean(std::string(100'000, 'a'), names), "");
}

TEST(ConfigTableTest, EnvironmentNames) {
  EXPECT_EQ(EnvironmentName("listen"), "PIXPOOL_LISTEN");
  EXPECT_EQ(EnvironmentName("max-batch-delay-ms"), "PIXPOOL_MAX_BATCH_DELAY_MS");
}

}  // namespace
}  // namespace pixpool
