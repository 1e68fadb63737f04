#include "server/base/failure_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace pixpool {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

FailureKind Kind(const std::string& caller, const std::string& reason = "QUOTA_EXCEEDED") {
  return {.caller = caller, .code = "RESOURCE_EXHAUSTED", .reason = reason};
}

// How many of so many calls have their line.
int Taken(FailureLines* lines, int calls, const FailureKind& kind) {
  int taken = 0;
  for (int i = 0; i < calls; ++i) taken += lines->Takes(kind, LogLevel::kInfo) ? 1 : 0;
  return taken;
}

// What the log gets, from "event" on.
std::vector<std::string> Logged(const std::function<void()>& body) {
  StartLog(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  body();
  StopLog();
  std::vector<std::string> lines =
      absl::StrSplit(testing::internal::GetCapturedStderr(), '\n', absl::SkipEmpty());
  for (std::string& line : lines) line.erase(0, line.find("\"event\""));
  return lines;
}

TEST(FailureLinesTest, TenOfASecondAndTheNumberOfTheOthers) {
  FailureLines lines;
  EXPECT_EQ(Taken(&lines, 1'000, Kind("@a")), 10);
  EXPECT_EQ(Taken(&lines, 4, Kind("@b")), 4);
  EXPECT_EQ(Taken(&lines, 10, Kind("@a", "OVERLOADED")), 10);
  EXPECT_THAT(Logged([&] { lines.EndSecond(); }),
              ElementsAre("\"event\":\"requests_left_out\",\"caller\":\"@a\","
                          "\"code\":\"RESOURCE_EXHAUSTED\",\"reason\":\"QUOTA_EXCEEDED\","
                          "\"left_out\":990}"));
}

TEST(FailureLinesTest, OneExampleASecondWhileItGoesOn) {
  FailureLines lines;
  Taken(&lines, 11, Kind("@a"));
  lines.EndSecond();
  EXPECT_EQ(Taken(&lines, 500, Kind("@a")), 1);
  EXPECT_THAT(Logged([&] { lines.EndSecond(); }), ElementsAre(HasSubstr("\"left_out\":499}")));
  EXPECT_EQ(Taken(&lines, 5, Kind("@a")), 1);  // it ebbs away
  EXPECT_THAT(Logged([&] { lines.EndSecond(); }), ElementsAre(HasSubstr("\"left_out\":4}")));
  EXPECT_EQ(Taken(&lines, 5, Kind("@a")), 5);
  EXPECT_THAT(Logged([&] { lines.EndSecond(); }), IsEmpty());
}

TEST(FailureLinesTest, CallersThatAreTooManyAreToldTogether) {
  FailureLines lines(3);
  int taken = 0;
  for (int i = 0; i < 100; ++i) taken += Taken(&lines, 1, Kind(absl::StrCat("10.0.0.", i)));
  EXPECT_EQ(taken, 3 + 10);
  EXPECT_THAT(Logged([&] { lines.EndSecond(); }),
              ElementsAre(testing::AllOf(HasSubstr("\"caller\":\"(others)\""),
                                         HasSubstr("\"left_out\":87}"))));
}

TEST(FailureLinesTest, EachCallIsTold) {
  FailureLines lines;
  std::atomic<int> taken = 0;
  const auto logged = Logged([&] {
    lines.Start();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { taken += Taken(&lines, 1'000, Kind("@a")); });
    }
    for (std::thread& thread : threads) thread.join();
    lines.Stop();
    lines.Stop();
  });
  int told = taken;
  for (const std::string& line : logged) {
    told += std::stoi(line.substr(line.find("left_out\":") + 10));
  }
  EXPECT_EQ(told, 4'000);
}

}  // namespace
}  // namespace pixpool
