#include "client/cpp/stream.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <set>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "client/cpp/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::client {
namespace {

using grpc::StatusCode;

class StreamTest : public testing::Test {
 protected:
  std::unique_ptr<Client> NewClient() {
    auto client = Client::Create(
        {.target = server_.target(), .retry = {.max_attempts = 3, .jitter = 0}, .timer = &timer_});
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // Gives images "0", "1", ... and counts them.
  Stream::Source Images(int count) {
    return [this, count]() -> std::optional<v1::Image> {
      if (taken_ == count) return std::nullopt;
      v1::Image image;
      image.set_image_id(std::to_string(taken_++));
      return image;
    };
  }

  static v1::StreamFeaturesResponse Answer(const v1::Image& image, int64_t index) {
    v1::StreamFeaturesResponse response;
    response.mutable_result()->set_image_id(image.image_id());
    response.mutable_result()->set_index(index);
    response.mutable_result()->mutable_features();
    return response;
  }

  FakeTimer timer_;
  std::atomic<int> taken_ = 0;
  FakeServer server_;
};

TEST_F(StreamTest, EveryImageGetsItsResultWithBoundedInFlight) {
  constexpr int kImages = 200;
  constexpr int kBound = 8;
  std::atomic<int> configs = 0;
  std::atomic<int> answered = 0;
  // Answers in groups of kBound, backwards, so that the client can neither wait for one answer at a
  // time nor rely on order.
  server_.on_stream = [&](FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest request;
    std::vector<v1::StreamFeaturesResponse> held;
    const auto flush = [&] {
      for (; !held.empty(); held.pop_back()) {
        ++answered;
        stream.Write(held.back());
      }
    };
    for (int64_t index = 0; stream.Read(&request); ++index) {
      configs += request.has_config();
      held.push_back(Answer(request.image(), index));
      if (held.size() == kBound || index == kImages - 1) flush();
    }
    return grpc::Status::OK;
  };

  StreamOptions options;
  options.max_in_flight = kBound;
  options.config.set_model("m");
  std::set<int64_t> seen;
  const Stream::Source images = Images(kImages);
  const auto client = NewClient();
  Stream stream(*client, options);
  const absl::Status status = stream.Run(
      [&] {
        // Called only when there is room for one more: what the server has not answered is in
        // flight.
        EXPECT_LT(taken_ - answered, kBound);
        return images();
      },
      [&](v1::StreamFeaturesResponse response) {
        EXPECT_EQ(response.result().image_id(), std::to_string(response.result().index()));
        EXPECT_TRUE(seen.insert(response.result().index()).second);
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(seen.size(), static_cast<size_t>(kImages));
  EXPECT_EQ(configs, 1);
}

// Answers every image at once, by what `answer` makes of it.
auto Immediately(std::function<v1::StreamFeaturesResponse(const v1::Image&, int64_t)> answer) {
  return [answer = std::move(answer)](FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest request;
    for (int64_t index = 0; stream.Read(&request); ++index) {
      stream.Write(answer(request.image(), index));
    }
    return grpc::Status::OK;
  };
}

TEST_F(StreamTest, ShedImagesAreSentAgainAfterTheStatedWait) {
  std::atomic<int> shed = 0;
  server_.on_stream = Immediately([&](const v1::Image& image, int64_t index) {
    v1::StreamFeaturesResponse response = Answer(image, index);
    if (image.image_id() == "2" && shed++ < 2) {
      *response.mutable_result()->mutable_status() =
          RpcError(StatusCode::UNAVAILABLE, "full", "OVERLOADED", "", 70);
    }
    return response;
  });
  std::vector<std::string> results;
  const absl::Status status =
      Stream(*NewClient(), {}).Run(Images(5), [&](v1::StreamFeaturesResponse response) {
        EXPECT_TRUE(response.result().has_features());
        EXPECT_EQ(response.result().image_id(), std::to_string(response.result().index()));
        results.push_back(response.result().image_id());
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(results, testing::UnorderedElementsAre("0", "1", "2", "3", "4"));
  EXPECT_THAT(timer_.delays(),
              testing::ElementsAre(absl::Milliseconds(70), absl::Milliseconds(70)));
}

TEST_F(StreamTest, ImagesThatStayShedOrAreBadFailAlone) {
  server_.on_stream = Immediately([&](const v1::Image& image, int64_t index) {
    v1::StreamFeaturesResponse response = Answer(image, index);
    if (image.image_id() == "1") {
      *response.mutable_result()->mutable_status() =
          RpcError(StatusCode::UNAVAILABLE, "full", "OVERLOADED", "", 70);
    } else if (image.image_id() == "2") {
      *response.mutable_result()->mutable_status() =
          RpcError(StatusCode::INVALID_ARGUMENT, "not a picture", "IMAGE_UNDECODABLE");
    }
    return response;
  });
  std::vector<std::string> reasons(4);
  const absl::Status status =
      Stream(*NewClient(), {}).Run(Images(4), [&](v1::StreamFeaturesResponse response) {
        reasons[response.result().index()] =
            GetErrorDetails(FromRpcStatus(response.result().status())).reason;
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_THAT(reasons, testing::ElementsAre("", "OVERLOADED", "IMAGE_UNDECODABLE", ""));
  EXPECT_EQ(timer_.delays().size(), 2u);  // 3 attempts
}

TEST_F(StreamTest, BrokenStreamReturnsItsError) {
  server_.on_stream = [](FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest request;
    stream.Read(&request);
    return CallError(StatusCode::UNAVAILABLE, "going away", "DRAINING");
  };
  const absl::Status status = Stream(*NewClient(), {}).Run(Images(1000), [](auto) { return true; });
  EXPECT_EQ(Describe(status), "UNAVAILABLE (DRAINING): going away");
  EXPECT_LE(taken_, 16);  // the default bound
}

// What a client sees of a connection that is gone.
grpc::Status ConnectionLost() { return grpc::Status(StatusCode::UNAVAILABLE, "Socket closed"); }

TEST_F(StreamTest, GoesOnAfterLostConnectionsAndLosesOrDoublesNothing) {
  constexpr int kImages = 500;
  constexpr int kBound = 8;
  std::atomic<int> calls = 0;
  std::atomic<int> received = 0;
  std::atomic<int> configs = 0;
  // Each call answers 37 images, holds others back unanswered, and is lost with them.
  server_.on_stream = [&](FakeServer::Stream& stream) {
    ++calls;
    v1::StreamFeaturesRequest request;
    for (int64_t index = 0; stream.Read(&request); ++index) {
      ++received;
      configs += request.has_config();
      if (index >= 37) {
        if (index == 37 + 5) return ConnectionLost();
      } else {
        stream.Write(Answer(request.image(), index));
      }
      if (request.image().image_id() == std::to_string(kImages - 1) && index >= 37) {
        return ConnectionLost();
      }
    }
    return grpc::Status::OK;
  };
  std::set<int64_t> seen;
  int most = 0;
  const Stream::Source images = Images(kImages);
  const auto client = NewClient();
  const absl::Status status =
      Stream(*client, {.max_in_flight = kBound})
          .Run(images, [&](v1::StreamFeaturesResponse response) {
            EXPECT_EQ(response.result().image_id(), std::to_string(response.result().index()));
            EXPECT_TRUE(seen.insert(response.result().index()).second);
            most = std::max(most, taken_ - static_cast<int>(seen.size()) + 1);
            return true;
          });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(seen.size(), static_cast<size_t>(kImages));
  EXPECT_EQ(configs, calls);
  EXPECT_GE(calls, 10);
  EXPECT_GT(received, kImages);
  EXPECT_LE(most, kBound + 1);  // one may be taken between an answer and its being counted here
}

TEST_F(StreamTest, GivesUpWhereNoConnectionComesAbout) {
  std::atomic<int> calls = 0;
  server_.on_stream = [&](FakeServer::Stream& stream) {
    ++calls;
    v1::StreamFeaturesRequest request;
    stream.Read(&request);
    return ConnectionLost();
  };
  const absl::Status status = Stream(*NewClient(), {}).Run(Images(5), [](auto) { return true; });
  EXPECT_THAT(Describe(status),
              testing::StartsWith("UNAVAILABLE: Socket closed; no server answers at "));
  EXPECT_EQ(calls, 3);
  EXPECT_THAT(timer_.delays(),
              testing::ElementsAre(absl::Milliseconds(100), absl::Milliseconds(200)));
}

TEST_F(StreamTest, AnImageThatIsLostWithEveryConnectionEndsTheStream) {
  std::atomic<int> fatal = 0;
  server_.on_stream = [&](FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest request;
    for (int64_t index = 0; stream.Read(&request); ++index) {
      if (request.image().image_id() == "3") {
        ++fatal;
        return ConnectionLost();
      }
      stream.Write(Answer(request.image(), index));
    }
    return grpc::Status::OK;
  };
  const absl::Status status =
      Stream(*NewClient(), {.max_in_flight = 1}).Run(Images(1000), [](auto) { return true; });
  EXPECT_THAT(Describe(status),
              testing::StartsWith("UNAVAILABLE: Socket closed; no server answers at "));
  EXPECT_EQ(fatal, 3);
}

TEST_F(StreamTest, NoNewCallWhereRetriesAreOff) {
  std::atomic<int> calls = 0;
  server_.on_stream = [&](FakeServer::Stream& stream) {
    ++calls;
    v1::StreamFeaturesRequest request;
    stream.Read(&request);
    stream.Write(Answer(request.image(), 0));
    return ConnectionLost();
  };
  const auto client =
      Client::Create({.target = server_.target(), .retry = {.max_attempts = 1}, .timer = &timer_});
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE(absl::IsUnavailable(
      Stream(**client, {.max_in_flight = 2}).Run(Images(9), [](auto) { return true; })));
  EXPECT_EQ(calls, 1);
}

TEST_F(StreamTest, AnOldCallIsAnsweredToItsEndAndAnotherTakesOver) {
  std::atomic<int> calls = 0;
  std::atomic<int> whole = 0;
  std::atomic<int> received = 0;
  server_.on_stream = [&](FakeServer::Stream& stream) {
    ++calls;
    v1::StreamFeaturesRequest request;
    for (int64_t index = 0; stream.Read(&request); ++index) {
      ++received;
      stream.Write(Answer(request.image(), index));
    }
    ++whole;
    return grpc::Status::OK;
  };
  std::set<int64_t> seen;
  const Stream::Source images = Images(100);
  const auto client = NewClient();
  const absl::Status status =
      Stream(*client, {.max_in_flight = 4, .max_call_age = absl::Seconds(10)})
          .Run(
              [&] {
                timer_.Advance(absl::Seconds(1));
                return images();
              },
              [&](v1::StreamFeaturesResponse response) {
                EXPECT_TRUE(seen.insert(response.result().index()).second);
                return true;
              });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_EQ(received, 100);  // nothing was sent twice
  EXPECT_EQ(whole, calls);
  EXPECT_GE(calls, 6);
  EXPECT_LE(calls, 12);
}

TEST_F(StreamTest, WhatAServerThatDrainsDidNotTakeGoesIntoANewCall) {
  std::atomic<int> calls = 0;
  server_.on_stream = [&](FakeServer::Stream& stream) {
    const bool drains = ++calls == 1;
    v1::StreamFeaturesRequest request;
    for (int64_t index = 0; stream.Read(&request); ++index) {
      v1::StreamFeaturesResponse response = Answer(request.image(), index);
      if (drains && index >= 20) {
        *response.mutable_result()->mutable_status() =
            RpcError(StatusCode::UNAVAILABLE, "ending", "DRAINING");
      }
      stream.Write(response);
    }
    return grpc::Status::OK;
  };
  int features = 0;
  const absl::Status status =
      Stream(*NewClient(), {}).Run(Images(200), [&](v1::StreamFeaturesResponse response) {
        features += response.result().has_features();
        return true;
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(features, 200);
  EXPECT_EQ(calls, 2);
}

TEST_F(StreamTest, FewerImagesAreSentAtOnceWhileTheServerSheds) {
  // Room for 4. An image that is shed comes back with the timer, which here is at once.
  constexpr int kRoom = 4;
  std::atomic<int> shed = 0;
  server_.on_stream = [&](FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest request;
    std::deque<v1::StreamFeaturesResponse> room;
    absl::Mutex mu;
    bool ended = false;
    absl::Notification never;
    std::thread worker([&] {
      while (true) {
        never.WaitForNotificationWithTimeout(absl::Milliseconds(2));
        absl::MutexLock lock(&mu);
        if (room.empty() && ended) return;
        if (room.empty()) continue;
        stream.Write(room.front());
        room.pop_front();
      }
    });
    for (int64_t index = 0; stream.Read(&request); ++index) {
      absl::MutexLock lock(&mu);
      if (room.size() < kRoom) {
        room.push_back(Answer(request.image(), index));
        continue;
      }
      ++shed;
      v1::StreamFeaturesResponse response = Answer(request.image(), index);
      *response.mutable_result()->mutable_status() =
          RpcError(StatusCode::UNAVAILABLE, "full", "OVERLOADED", "", 1);
      stream.Write(response);
    }
    {
      absl::MutexLock lock(&mu);
      ended = true;
    }
    worker.join();
    return grpc::Status::OK;
  };
  const auto client = Client::Create(
      {.target = server_.target(), .retry = {.max_attempts = 1000, .jitter = 0}, .timer = &timer_});
  ASSERT_TRUE(client.ok());
  int features = 0;
  const absl::Status status = Stream(**client, {.max_in_flight = 64})
                                  .Run(Images(600), [&](v1::StreamFeaturesResponse response) {
                                    features += response.result().has_features();
                                    return true;
                                  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(features, 600);
  // With all 64 sent at once, and again as soon as they come back, there are thousands.
  EXPECT_LT(shed, 600);
}

TEST_F(StreamTest, PriorityIsTheStreamsOwnOrTheClients) {
  std::vector<v1::Priority> seen;
  server_.on_stream = [&](FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest request;
    for (int64_t index = 0; stream.Read(&request); ++index) {
      if (request.has_config()) seen.push_back(request.config().priority());
      stream.Write(Answer(request.image(), index));
    }
    return grpc::Status::OK;
  };
  const auto client = Client::Create({.target = server_.target(), .priority = v1::PRIORITY_BULK});
  ASSERT_TRUE(client.ok());
  StreamOptions options;
  EXPECT_TRUE(Stream(**client, options).Run(Images(1), [](auto) { return true; }).ok());
  taken_ = 0;
  options.config.set_priority(v1::PRIORITY_INTERACTIVE);
  EXPECT_TRUE(Stream(**client, options).Run(Images(1), [](auto) { return true; }).ok());
  EXPECT_THAT(seen, testing::ElementsAre(v1::PRIORITY_BULK, v1::PRIORITY_INTERACTIVE));
}

TEST_F(StreamTest, EarlyEndWithoutAnErrorIsAnError) {
  server_.on_stream = [](FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest request;
    stream.Read(&request);
    return grpc::Status::OK;
  };
  const absl::Status status = Stream(*NewClient(), {}).Run(Images(3), [](auto) { return true; });
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("before its last image"));
}

TEST_F(StreamTest, AnswerToAnUnknownImageIsAnError) {
  server_.on_stream =
      Immediately([](const v1::Image& image, int64_t index) { return Answer(image, index + 5); });
  const absl::Status status = Stream(*NewClient(), {}).Run(Images(1), [](auto) { return true; });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("image 5"));
}

TEST_F(StreamTest, SinkCanEndTheStream) {
  server_.on_stream = Immediately(Answer);
  int results = 0;
  const absl::Status status = Stream(*NewClient(), {}).Run(Images(1000), [&](auto) {
    ++results;
    return false;
  });
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_EQ(results, 1);
}

TEST_F(StreamTest, CancelEndsAStreamThatHangs) {
  server_.on_stream = [](FakeServer::Stream& stream) {
    v1::StreamFeaturesRequest request;
    while (stream.Read(&request)) {  // and never answers
    }
    return grpc::Status::OK;
  };
  const auto client = NewClient();
  Stream stream(*client, {.max_in_flight = 2});
  const Stream::Source images = Images(10);
  const absl::Status status = stream.Run(
      [&] {
        auto image = images();
        if (taken_ == 2) stream.Cancel();
        return image;
      },
      [](auto) { return true; });
  EXPECT_TRUE(absl::IsCancelled(status));
  EXPECT_EQ(taken_, 2);
}

TEST_F(StreamTest, EmptySourceAndMisuse) {
  server_.on_stream = Immediately(Answer);
  const auto client = NewClient();
  Stream stream(*client, {});
  EXPECT_TRUE(stream.Run(Images(0), [](auto) { return true; }).ok());
  EXPECT_EQ(stream.Run(Images(0), [](auto) { return true; }).code(),
            absl::StatusCode::kFailedPrecondition);

  Stream bad(*client, {.max_in_flight = 0});
  EXPECT_EQ(bad.Run(Images(0), [](auto) { return true; }).code(),
            absl::StatusCode::kInvalidArgument);

  Stream cancelled(*client, {});
  cancelled.Cancel();
  EXPECT_TRUE(absl::IsCancelled(cancelled.Run(Images(1), [](auto) { return true; })));
}

}  // namespace
}  // namespace pixpool::client
