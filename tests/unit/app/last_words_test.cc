#include "server/app/last_words.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace pixpool {
namespace {

std::system_error System(int error) { return {error, std::generic_category(), "what"}; }

template <typename Exception>
std::string Words(const Exception& exception) {
  try {
    throw exception;
  } catch (...) {
    return ExplainException();
  }
}

TEST(LastWordsTest, SayWhatIsMissingAndWhichLimit) {
  EXPECT_NE(Words(std::bad_alloc()).find("memory"), std::string::npos);
  EXPECT_NE(Words(System(EAGAIN)).find("threads"), std::string::npos);
  EXPECT_NE(Words(System(EMFILE)).find("ulimit -n"), std::string::npos);
  EXPECT_EQ(Words(std::runtime_error("a bug")), "a bug");
  EXPECT_EQ(Words(7), "an error of unknown kind");
  EXPECT_NE(ExplainMessage("x: Cannot allocate memory").find("ulimit -v"), std::string::npos);
  EXPECT_NE(ExplainMessage("node 'a': Failed to allocate 1806336 bytes").find("ulimit -v"),
            std::string::npos);
  EXPECT_EQ(ExplainMessage("no such model"), "no such model");
}

TEST(LastWordsTest, WhatIsThrownBecomesALineAndOne) {
  EXPECT_EQ(RunOrExplain([] { return 5; }), 5);
  testing::internal::CaptureStderr();
  EXPECT_EQ(RunOrExplain([]() -> int { throw std::runtime_error("first\nsecond"); }), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "pixpool-server: first\n");
}

TEST(LastWordsDeathTest, AThreadThatThrows) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto die_of = [](const auto& exception) {
    ExplainTermination();
    std::thread([&] { throw exception; }).join();
  };
  EXPECT_EXIT(die_of(std::bad_alloc()), testing::ExitedWithCode(1), "^pixpool-server: out of mem");
  EXPECT_EXIT(die_of(std::runtime_error("a bug")), testing::KilledBySignal(SIGABRT),
              "^pixpool-server: a bug\n");
}

TEST(LastWordsDeathTest, AThreadDestroyedOnTheWayOut) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto die = [] {
    ExplainTermination();
    try {
      const std::thread running([] { pause(); });
      throw System(EAGAIN);
    } catch (...) {
    }
  };
  EXPECT_EXIT(die(), testing::ExitedWithCode(1), "^pixpool-server: no more threads");
}

}  // namespace
}  // namespace pixpool
