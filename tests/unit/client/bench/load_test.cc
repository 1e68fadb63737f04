// Whole runs against servers that are scripted, or that do nothing. Times are real here: what is
// tested is that they are told as they are.
#include "client/bench/load.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>

#include "absl/synchronization/notification.h"
#include "client/bench/null_server.h"
#include "gtest/gtest.h"
#include "tests/unit/client/bench/messages.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::bench {
namespace {

constexpr int64_t kSecond = 1000 * 1000 * 1000;

// Answers nothing in the second after the first second.
class Stall {
 public:
  void Wait() {
    const int64_t now = NowNs();
    int64_t expected = 0;
    first_.compare_exchange_strong(expected, now);
    const int64_t since = now - first_.load();
    if (since < kSecond || since >= 2 * kSecond) return;
    never_.WaitForNotificationWithTimeout(absl::Nanoseconds(2 * kSecond - since));
  }

 private:
  std::atomic<int64_t> first_ = 0;
  absl::Notification never_;
};

class LoadTest : public testing::Test {
 protected:
  LoadTest() {
    server_.on_extract = [this](grpc::ServerContext&, const v1::ExtractFeaturesRequest& in,
                                v1::ExtractFeaturesResponse& out) {
      const int call = calls_++;
      if (before_) before_(call);
      if (call % 4 < shed_of_4_) {
        return client::CallError(grpc::StatusCode::UNAVAILABLE, "full", "OVERLOADED", "", 1);
      }
      for (int i = 0; i < in.images_size(); ++i) out.add_results()->mutable_features();
      out.mutable_stage_times()->mutable_backbone()->set_nanos(5000);
      return grpc::Status::OK;
    };
  }

  RunOptions Options() {
    RunOptions options;
    options.transport.target = server_.target();
    return options;
  }

  std::atomic<int> calls_ = 0;
  std::function<void(int)> before_;
  int shed_of_4_ = 0;
  absl::Notification end_;    // for handlers that wait
  absl::Notification never_;  // for those that wait for a time
  Stall stall_;
  // The last one: its handlers use all of the above, and may outlive the calls of a run.
  client::FakeServer server_;
};

TEST_F(LoadTest, OpenLoopTellsAStallAsItsCallersSeeIt) {
  before_ = [this](int) { stall_.Wait(); };
  RunOptions options = Options();
  options.load.rate = 50;  // few enough that answering those who waited takes no time to speak of
  options.load.arrivals = Arrivals::kConstant;
  options.load.duration = absl::Seconds(3);
  const Result result = RunLoad(options, MakeWorkload());

  // What callers at these times have to wait, by the script.
  std::vector<double> truth;
  for (int i = 0; i < 150; ++i) {
    const double t = i * 0.02;
    truth.push_back(t >= 1 && t < 2 ? 2 - t : 0);
  }
  std::sort(truth.begin(), truth.end());
  ASSERT_EQ(result.latency.count(), 150u);
  const double p99 = truth[148];
  EXPECT_NEAR(static_cast<double>(result.latency.Quantile(0.99)) / 1e9, p99, 0.05 * p99);
  const double p90 = truth[134];
  EXPECT_NEAR(static_cast<double>(result.latency.Quantile(0.9)) / 1e9, p90, 0.05 * p90);
  EXPECT_LT(result.latency.Quantile(0.5), kSecond / 10);
  EXPECT_EQ(result.requests_failed, 0u);
}

TEST_F(LoadTest, AFullGeneratorTellsTheStallToo) {
  before_ = [this](int) { stall_.Wait(); };
  RunOptions options = Options();
  options.load.rate = 100;
  options.load.arrivals = Arrivals::kConstant;
  options.load.duration = absl::Seconds(3);
  options.load.max_in_flight = 2;  // so the others cannot even be sent during the stall
  const Result result = RunLoad(options, MakeWorkload());
  EXPECT_EQ(result.latency.count(), 300u);
  EXPECT_NEAR(static_cast<double>(result.latency.Quantile(0.99)) / 1e9, 0.97, 0.05 * 0.97);
  EXPECT_GT(result.send_lag.max(), kSecond / 2);
}

TEST_F(LoadTest, ClosedLoopIsBlindToAStallWhichIsWhyThereIsAnOpenOne) {
  before_ = [this](int) { stall_.Wait(); };
  RunOptions options = Options();
  options.load.duration = absl::Seconds(2.5);
  const Result result = RunLoad(options, MakeWorkload());
  EXPECT_NEAR(static_cast<double>(result.latency.max()) / 1e9, 1, 0.1);  // one request met it
  EXPECT_LT(result.latency.Quantile(0.99), kSecond / 10);
}

TEST_F(LoadTest, WhatIsShedIsNotAskedForAgain) {
  shed_of_4_ = 1;
  RunOptions options = Options();
  options.load.requests = 100;
  options.load.duration = absl::InfiniteDuration();
  options.load.concurrency = 3;
  options.transport.connections = 2;
  const Result result = RunLoad(options, MakeWorkload());
  EXPECT_EQ(calls_, 100);
  EXPECT_EQ(result.requests(), 100u);
  EXPECT_EQ(result.requests_failed, 25u);
  EXPECT_EQ(result.failures.at({false, "UNAVAILABLE", "OVERLOADED"}).count, 25u);
  EXPECT_EQ(result.latency.count(), 75u);
  EXPECT_EQ(result.stages[4].count(), 75u);
  EXPECT_EQ(result.stages[4].max(), 5000);
}

TEST_F(LoadTest, RetryAsksAgainAndCountsFromTheFirstAttempt) {
  shed_of_4_ = 1;
  RunOptions options = Options();
  options.load.requests = 40;
  options.load.duration = absl::InfiniteDuration();
  options.transport.retry = true;
  const Result result = RunLoad(options, MakeWorkload());
  EXPECT_EQ(result.requests_failed, 0u);
  EXPECT_EQ(result.totals.retries, static_cast<uint64_t>(calls_ - 40));
  EXPECT_GE(result.totals.retries, 13u);
  EXPECT_EQ(result.totals.requests, static_cast<uint64_t>(calls_));
  // The server asks for a millisecond's wait, which is part of the latency.
  EXPECT_GE(result.latency.Quantile(0.9), 1000 * 1000);
}

TEST_F(LoadTest, WarmUpIsSentAndNotCounted) {
  RunOptions options = Options();
  options.load.rate = 200;
  options.load.arrivals = Arrivals::kConstant;
  options.load.warm_up = absl::Milliseconds(200);
  options.load.duration = absl::Milliseconds(300);
  WorkloadOptions batch;
  batch.batch = 3;
  const Result result = RunLoad(options, MakeWorkload(batch));
  EXPECT_EQ(calls_, 100);
  EXPECT_EQ(result.requests(), 60u);
  EXPECT_EQ(result.totals.images_ok, 300u);
  EXPECT_EQ(result.images_ok, 180u);
}

TEST_F(LoadTest, SlowAnswersAreDeadlines) {
  before_ = [this](int call) {
    if (call == 1) end_.WaitForNotification();
  };
  RunOptions options = Options();
  options.transport.timeout = absl::Milliseconds(150);
  options.load.requests = 5;
  options.load.duration = absl::InfiniteDuration();
  const Result result = RunLoad(options, MakeWorkload());
  end_.Notify();
  EXPECT_EQ(result.requests_failed, 1u);
  EXPECT_EQ(result.failures.at({false, "DEADLINE_EXCEEDED", ""}).count, 1u);
}

TEST_F(LoadTest, NobodyThere) {
  RunOptions options = Options();
  options.transport.target = client::kNobody;
  options.load.duration = absl::Milliseconds(300);
  for (const bool stream : {false, true}) {
    WorkloadOptions workload;
    workload.stream = stream;
    Totals totals;
    EXPECT_TRUE(absl::IsUnavailable(Probe(options.transport, MakeWorkload(workload), totals)));
    const Result result = RunLoad(options, MakeWorkload(workload));
    EXPECT_EQ(result.latency.count(), 0u);
    EXPECT_GE(result.requests_failed, 1u);
    EXPECT_LE(result.requests_failed, 40u);  // it does not spin
  }
}

TEST_F(LoadTest, StreamMatchesAnswersThatComeOutOfOrder) {
  // The first picture is answered last, after 18 others that take 5 ms each; one of them is shed.
  server_.on_stream = [this](client::FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest in;
    int64_t index = 0;
    bool configured = false;
    const auto answer = [&stream](int64_t i) {
      v1::StreamFeaturesResponse out;
      out.mutable_result()->set_index(i);
      if (i == 4) {
        *out.mutable_result()->mutable_status() =
            client::RpcError(grpc::StatusCode::UNAVAILABLE, "full", "OVERLOADED");
      } else {
        out.mutable_result()->mutable_features();
      }
      stream.Write(out);
    };
    while (stream.Read(&in)) {
      configured = configured || in.has_config();
      if (!in.has_image()) continue;
      const int64_t i = index++;
      if (i > 0) {
        never_.WaitForNotificationWithTimeout(absl::Milliseconds(5));
        answer(i);
      }
      if (i == 18) answer(0);
    }
    return configured ? grpc::Status::OK : grpc::Status(grpc::StatusCode::INTERNAL, "no config");
  };
  WorkloadOptions workload;
  workload.stream = true;
  RunOptions options = Options();
  options.load.concurrency = 2;
  options.load.requests = 19;
  options.load.duration = absl::InfiniteDuration();
  const Result result = RunLoad(options, MakeWorkload(workload));
  EXPECT_EQ(result.requests(), 19u);
  EXPECT_EQ(result.requests_failed, 1u);
  EXPECT_EQ(result.failures.at({true, "UNAVAILABLE", "OVERLOADED"}).count, 1u);
  EXPECT_GE(result.latency.max(), 18 * 5 * 1000 * 1000);
  EXPECT_LT(result.latency.Quantile(0.5), 18 * 5 * 1000 * 1000 / 2);
}

TEST_F(LoadTest, ABrokenStreamFailsWhatItHeldAndIsOpenedAnew) {
  server_.on_stream = [this](client::FakeServer::Stream& stream) {
    ++calls_;
    v1::StreamFeaturesRequest in;
    int64_t index = 0;
    while (stream.Read(&in)) {
      if (!in.has_image()) continue;
      if (index == 5) {
        return client::CallError(grpc::StatusCode::UNAVAILABLE, "bye", "DRAINING");
      }
      v1::StreamFeaturesResponse out;
      out.mutable_result()->set_index(index++);
      out.mutable_result()->mutable_features();
      stream.Write(out);
    }
    return grpc::Status::OK;
  };
  WorkloadOptions workload;
  workload.stream = true;
  RunOptions options = Options();
  options.load.requests = 18;
  options.load.duration = absl::InfiniteDuration();
  const Result result = RunLoad(options, MakeWorkload(workload));
  // 5 answers and a failure, three times; a fourth may have been opened by the end.
  EXPECT_GE(calls_, 3);
  EXPECT_LE(calls_, 4);
  EXPECT_EQ(result.latency.count(), 15u);
  EXPECT_EQ(result.failures.at({false, "UNAVAILABLE", "DRAINING"}).count, 3u);
}

TEST_F(LoadTest, WhatALostConnectionHadNotAnsweredIsSentAgain) {
  std::atomic<int> received = 0;
  server_.on_stream = [&](client::FakeServer::Stream& stream) {
    ++calls_;
    v1::StreamFeaturesRequest in;
    int64_t index = 0;
    while (stream.Read(&in)) {
      if (!in.has_image()) continue;
      ++received;
      if (index == 20) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed");
      v1::StreamFeaturesResponse out;
      out.mutable_result()->set_index(index++);
      out.mutable_result()->mutable_features();
      stream.Write(out);
    }
    return grpc::Status::OK;
  };
  WorkloadOptions workload;
  workload.stream = true;
  RunOptions options = Options();
  options.load.concurrency = 4;
  options.load.requests = 200;
  options.load.duration = absl::InfiniteDuration();
  const Result result = RunLoad(options, MakeWorkload(workload));
  EXPECT_EQ(result.latency.count(), 200u);
  EXPECT_EQ(result.requests_failed, 0u);
  EXPECT_GE(calls_, 10);
  EXPECT_GE(result.totals.retries, 9u);
  EXPECT_GE(result.totals.requests, static_cast<uint64_t>(received));
}

TEST_F(LoadTest, AStreamThatSaysNothingIsGivenUp) {
  server_.on_stream = [](client::FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest in;
    while (stream.Read(&in)) {
    }
    return grpc::Status::OK;
  };
  WorkloadOptions workload;
  workload.stream = true;
  RunOptions options = Options();
  options.transport.timeout = absl::Milliseconds(100);
  options.load.requests = 5;
  options.load.duration = absl::InfiniteDuration();
  const Result result = RunLoad(options, MakeWorkload(workload));
  EXPECT_EQ(result.requests_failed, 1u);
  EXPECT_EQ(result.failures.begin()->first.code, "CANCELLED");
}

TEST(NullServerTest, AnswersEveryKindOfRequest) {
  for (const Api api : {Api::kPixpool, Api::kKserve}) {
    for (const bool stream : {false, true}) {
      WorkloadOptions workload_options;
      workload_options.api = api;
      workload_options.stream = stream;
      workload_options.batch = stream && api == Api::kPixpool ? 1 : 3;
      const Workload workload = MakeWorkload(workload_options);
      const auto server = NullServer::Start(workload);
      ASSERT_TRUE(server.ok());
      RunOptions options;
      options.transport.target = (*server)->target();
      options.transport.connections = 2;
      options.load.concurrency = 5;
      options.load.requests = 300;
      options.load.duration = absl::InfiniteDuration();
      const Result result = RunLoad(options, workload);
      EXPECT_EQ(result.latency.count(), 300u);
      EXPECT_EQ(result.requests_failed, 0u);
      EXPECT_EQ(result.images_ok, 300u * static_cast<uint64_t>(workload_options.batch));
      EXPECT_GT(result.response_bytes, result.images_ok * 5120);
    }
  }
}

}  // namespace
}  // namespace pixpool::bench
