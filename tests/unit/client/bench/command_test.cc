// `pixpool bench` as a whole: flags, reports, exit codes.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "client/cli/bench_flags.h"
#include "gmock/gmock.h"
#include "tests/unit/client/app_fixture.h"

namespace pixpool::cli {
namespace {

using testing::HasSubstr;

class BenchCommandTest : public AppTest {
 protected:
  int Bench(std::vector<std::string> arguments, const std::string& target = "") {
    arguments.insert(arguments.begin(), {"bench", "--warm-up", "0"});
    return Run(std::move(arguments), target);
  }

  static std::string ReadFile(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
};

TEST_F(BenchCommandTest, ReportsInEveryForm) {
  EXPECT_EQ(Bench({Picture("a.png"), Picture("b.png"), "--requests", "20", "--concurrency", "1,3",
                   "--head", "gem:p=3", "--json", root_ + "/r.json", "--csv", root_ + "/r.csv",
                   "--html", root_ + "/r.html"}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(calls_, 41);  // two runs and the probe
  for (const char* part :
       {"images/s", "p99.9", "1 caller", "3 callers", "backbone", "load tester"}) {
    EXPECT_THAT(out_.str(), HasSubstr(part));
  }
  const auto json = nlohmann::json::parse(ReadFile(root_ + "/r.json"));
  EXPECT_EQ(json["runs"].size(), 2u);
  EXPECT_EQ(json["totals"]["requests"], 41);
  EXPECT_EQ(json["heads"][0], "gem:p=3");
  EXPECT_EQ(head_.gem().p(), 3);
  EXPECT_THAT(ReadFile(root_ + "/r.csv"), HasSubstr("\nclosed,,3,"));
  EXPECT_THAT(ReadFile(root_ + "/r.html"), HasSubstr("<svg"));
}

TEST_F(BenchCommandTest, FailuresAreCountedAndOneExitCode) {
  EXPECT_EQ(Bench({Picture("a.png"), Picture("b.png", "bad"), "--requests", "10"}),
            kExitSomeFailed);
  EXPECT_THAT(out_.str(), HasSubstr("IMAGE_UNDECODABLE"));
  EXPECT_EQ(Bench({Picture("c.png", "full"), "--requests", "10"}), kExitSomeFailed);
  EXPECT_THAT(out_.str(), HasSubstr("OVERLOADED"));
}

TEST_F(BenchCommandTest, ObjectivesDecideTheExitCode) {
  const std::string picture = Picture("a.png");
  EXPECT_EQ(Bench({picture, "--requests", "20", "--slo", "p50=10s"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("met"));
  EXPECT_EQ(Bench({picture, "--requests", "20", "--slo", "p50=1us"}), kExitObjective);
  EXPECT_THAT(out_.str(), HasSubstr("missed"));
  EXPECT_EQ(Bench({picture, "--requests", "20", "--min-rate", "1000000"}), kExitObjective);
}

TEST_F(BenchCommandTest, SearchFindsARateOrNone) {
  const std::string picture = Picture("a.png");
  const std::vector<std::string> search = {picture, "--search", "--duration",
                                           "0.2",   "--json",   root_ + "/r.json"};
  std::vector<std::string> reachable = search;
  reachable.insert(reachable.end(), {"--slo", "p50=5s", "--max-in-flight", "64"});
  EXPECT_EQ(Bench(reachable), kExitOk);
  auto json = nlohmann::json::parse(ReadFile(root_ + "/r.json"));
  EXPECT_GT(json["highest_rate"].get<double>(), 0);
  EXPECT_EQ(json["runs"][json["main_run"].get<size_t>()]["met"], true);
  std::vector<std::string> hopeless = search;
  hopeless.insert(hopeless.end(), {"--slo", "p50=1us"});
  EXPECT_EQ(Bench(hopeless), kExitObjective);
  json = nlohmann::json::parse(ReadFile(root_ + "/r.json"));
  EXPECT_EQ(json["highest_rate"], 0.0);
  EXPECT_THAT(out_.str(), HasSubstr("no rate met the objective"));
}

TEST_F(BenchCommandTest, StreamsAndSelfTest) {
  server_.on_stream = [](client::FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest in;
    for (int64_t index = 0; stream.Read(&in);) {
      if (!in.has_image()) continue;
      v1::StreamFeaturesResponse out;
      *out.mutable_result() = Result(in.image(), index++, false);
      stream.Write(out);
    }
    return grpc::Status::OK;
  };
  const std::string picture = Picture("a.png");
  EXPECT_EQ(Bench({picture, "--requests", "20", "--stream"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("streams of 1 picture"));
  EXPECT_EQ(Bench({picture, "--requests", "200", "--self-test"}, client::kNobody), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("the load tester's own ceiling"));
}

TEST_F(BenchCommandTest, PriorityIsAFieldOrAHeaderWhereTheApiHasNone) {
  EXPECT_EQ(Bench({Picture("a.png"), "--requests", "3", "--priority", "bulk"}), kExitOk);
  EXPECT_EQ(priority_, v1::PRIORITY_BULK);
  BenchFlags flags;
  flags.input.priority = "interactive";
  EXPECT_THAT(flags.Transport()->headers, testing::IsEmpty());
  flags.api = "kserve";
  EXPECT_THAT(flags.Transport()->headers,
              testing::ElementsAre(testing::Pair("pixpool-priority", "interactive")));
}

TEST_F(BenchCommandTest, WhatCannotBeDoneIsSaidBeforeTheRun) {
  const std::string picture = Picture("a.png");
  const std::vector<std::vector<std::string>> usage = {
      {"--slo", "p99"},
      {"--search"},
      {"--stream", "--batch", "2"},
      {"--stream", "--retry"},
      {"--head", "gme"},
      {"--rate", "0"},
      {"--search", "--slo", "p99=1s", "--rate", "5"},
      {"--timeout", "0"},
      {"--metrics", "https://x"},
      {"--self-test", "--metrics", "localhost:1"}};
  for (std::vector<std::string> arguments : usage) {
    arguments.push_back(picture);
    EXPECT_EQ(Bench(arguments), kExitUsage) << arguments[0];
  }
  EXPECT_EQ(Bench({root_ + "/none.png"}), kExitUsage);
  EXPECT_EQ(calls_, 0);
  EXPECT_EQ(Bench({picture}, client::kNobody), kExitUnavailable);
  EXPECT_THAT(err_.str(), HasSubstr("no server answers"));
  EXPECT_EQ(Bench({Picture("r.png", "refuse")}), kExitRefused);
  EXPECT_EQ(Bench({picture, "--metrics", "127.0.0.1:1"}), kExitUnavailable);
}

}  // namespace
}  // namespace pixpool::cli
