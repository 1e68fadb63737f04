#include "client/cpp/stream.h"

#include <algorithm>
#include <atomic>
#include <set>

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
