#include "server/base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <limits>
#include <regex>
#include <thread>

#include "absl/strings/str_split.h"

namespace pixpool {
namespace {

// Standard error as a pipe, for as long as this lives.
class StderrPipe {
 public:
  StderrPipe() : saved_(dup(STDERR_FILENO)) {
    EXPECT_EQ(pipe(fds_), 0);
    dup2(fds_[1], STDERR_FILENO);
    close(fds_[1]);
  }
  ~StderrPipe() {
    Restore();
    CloseReader();
  }

  void Restore() {
    if (saved_ < 0) return;
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    saved_ = -1;
  }
  void CloseReader() {
    if (fds_[0] >= 0) close(fds_[0]);
    fds_[0] = -1;
  }
  // All that was written; ends standard error's part in the pipe.
  std::string ReadAll() {
    Restore();
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(fds_[0], buffer, sizeof(buffer))) > 0;) {
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }

 private:
  int saved_;
  int fds_[2] = {-1, -1};
};

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

// What `write` logs at level debug.
template <typename Write>
std::vector<std::string> Logged(Write write) {
  StderrPipe pipe;
  StartLog(LogLevel::kDebug);
  write();
  StopLog();
  return Lines(pipe.ReadAll());
}

TEST(LogTest, OneJsonObjectALine) {
  const auto lines = Logged([] {
    Log(LogLevel::kInfo, "request",
        {{"method", "ExtractFeatures"},
         {"images", 3},
         {"seconds", 0.25},
         {"ok", true},
         {"bytes", uint64_t{18446744073709551615u}},
         {"delta", int64_t{-5}}});
    Log(LogLevel::kWarning, "plain");
  });
  ASSERT_EQ(lines.size(), 2u);
  const std::regex form(
      R"re(\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","level":"info","event":"request",)re"
      R"re("method":"ExtractFeatures","images":3,"seconds":0.25,"ok":true,)re"
      R"re("bytes":18446744073709551615,"delta":-5\})re");
  EXPECT_TRUE(std::regex_match(lines[0], form)) << lines[0];
  EXPECT_NE(lines[1].find("\"level\":\"warning\",\"event\":\"plain\"}"), std::string::npos);
}

TEST(LogTest, HostileTextStaysOnOneLine) {
  const auto lines = Logged([] {
    Log(LogLevel::kInfo, "e\n\"v",
        {{"id", std::string_view("a\n{\"level\":\"error\"}\r\0\xff\x1b[2J", 26)}, {"k\"\n", "v"}});
  });
  ASSERT_EQ(lines.size(), 1u);
  for (const char c : lines[0]) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  EXPECT_NE(lines[0].find(R"("event":"e\n\"v")"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find(R"("id":"a\n{\"level\":\"error\"}\u000d\u0000)"
                          "\xEF\xBF\xBD"
                          R"(\u001b[2J")"),
            std::string::npos)
      << lines[0];
  EXPECT_NE(lines[0].find(R"("k\"\n":"v"})"), std::string::npos) << lines[0];
}

TEST(LogTest, NumbersAreValidJson) {
  EXPECT_EQ(LogField("x", std::numeric_limits<double>::quiet_NaN()).json, "\"x\":null");
  EXPECT_EQ(LogField("x", -std::numeric_limits<double>::infinity()).json, "\"x\":null");
  EXPECT_EQ(LogField("x", 0.1).json, "\"x\":0.1");
  EXPECT_EQ(LogField("x", false).json, "\"x\":false");
}

TEST(LogTest, LongTextsAreCut) {
  EXPECT_LT(LogField("x", std::string(1 << 20, 'a')).json.size(), 5000u);
}

TEST(LogTest, LevelsBelowTheChosenOneAreLeftOut) {
  StderrPipe pipe;
  StartLog(LogLevel::kWarning);
  Log(LogLevel::kInfo, "hidden");
  Log(LogLevel::kError, "shown");
  StopLog();
  const auto lines = Lines(pipe.ReadAll());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("shown"), std::string::npos);
}

TEST(LogTest, WritesNothingBeforeStartAndAfterStop) {
  StderrPipe pipe;
  Log(LogLevel::kError, "before");
  StartLog(LogLevel::kDebug);
  StopLog();
  StopLog();
  Log(LogLevel::kError, "after");
  EXPECT_EQ(pipe.ReadAll(), "");
}

TEST(LogTest, OffIsSilent) {
  StderrPipe pipe;
  StartLog(LogLevel::kOff);
  Log(LogLevel::kError, "x");
  Log(LogLevel::kOff, "y");
  StopLog();
  EXPECT_EQ(pipe.ReadAll(), "");
}

TEST(LogTest, ManyThreadsLoseNothingWhileTheReaderKeepsUp) {
  StderrPipe pipe;
  StartLog(LogLevel::kDebug);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i) Log(LogLevel::kInfo, "x", {{"i", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  StopLog();
  EXPECT_EQ(Lines(pipe.ReadAll()).size(), 400u);
}

TEST(LogTest, AStalledReaderCostsLinesNotTime) {
  const int64_t dropped_before = LogDroppedCount();
  constexpr int kLines = 30'000;
  StderrPipe pipe;
  StartLog(LogLevel::kDebug);
  for (int i = 0; i < kLines; ++i) Log(LogLevel::kInfo, "x", {{"number", i}});
  EXPECT_GT(LogDroppedCount(), dropped_before) << "more than pipe and queue hold";
  const auto stop = std::chrono::steady_clock::now();
  StopLog();
  EXPECT_LT(std::chrono::steady_clock::now() - stop, std::chrono::seconds(20))
      << "stopping must not wait for the reader for ever";
  // Each line was either written or counted; the one in hand when the log gave up may be there in
  // part.
  const auto written = static_cast<int64_t>(Lines(pipe.ReadAll()).size());
  const int64_t dropped = LogDroppedCount() - dropped_before;
  EXPECT_GE(written + dropped, kLines);
  EXPECT_LE(written + dropped, kLines + 1);
}

TEST(LogTest, TheQueueIsBoundedByBytesToo) {
  const int64_t dropped_before = LogDroppedCount();
  StderrPipe pipe;
  StartLog(LogLevel::kDebug);
  const std::string text(4000, 'x');
  // 20 KB a line: far fewer lines than the queue has places.
  for (int i = 0; i < 1000; ++i) {
    Log(LogLevel::kInfo, "x", {{"a", text}, {"b", text}, {"c", text}, {"d", text}, {"e", text}});
  }
  EXPECT_GT(LogDroppedCount() - dropped_before, 500);
  StopLog();
  // What was queued is given back: a later log takes as much again.
  StderrPipe second;
  StartLog(LogLevel::kDebug);
  const int64_t dropped_then = LogDroppedCount();
  for (int i = 0; i < 100; ++i) Log(LogLevel::kInfo, "x", {{"a", text}});
  StopLog();
  EXPECT_LE(LogDroppedCount() - dropped_then, 100);
}

TEST(LogTest, AClosedReaderIsNoEndOfTheProcess) {
  const int64_t dropped_before = LogDroppedCount();
  StderrPipe pipe;
  pipe.CloseReader();
  StartLog(LogLevel::kDebug);
  Log(LogLevel::kInfo, "nobody reads this");
  StopLog();
  EXPECT_EQ(LogDroppedCount(), dropped_before + 1);
}

TEST(LogLevelTest, NamesAreRead) {
  EXPECT_EQ(LogLevelFromName("debug"), LogLevel::kDebug);
  EXPECT_EQ(LogLevelFromName("info"), LogLevel::kInfo);
  EXPECT_EQ(LogLevelFromName("warning"), LogLevel::kWarning);
  EXPECT_EQ(LogLevelFromName("error"), LogLevel::kError);
  EXPECT_EQ(LogLevelFromName("off"), LogLevel::kOff);
  EXPECT_EQ(LogLevelFromName("loud"), LogLevel::kInfo);
}

}  // namespace
}  // namespace pixpool
