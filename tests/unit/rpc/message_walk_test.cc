#include "server/rpc/message_walk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "inference/grpc_service.pb.h"
#include "pixpool/v1/feature_service.pb.h"
#include "server/base/error.h"
#include "server/rpc/message_bytes.h"

namespace pixpool {
namespace {

using ::testing::HasSubstr;

// In slices of `slice` bytes, as they come from the network.
grpc::ByteBuffer Buffer(const std::string& bytes, size_t slice = 1000) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += slice) slices.emplace_back(bytes.substr(at, slice));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

template <typename Message>
absl::StatusOr<MessageWalk> Walk(const std::string& bytes, size_t slice = 1000) {
  grpc::ByteBuffer buffer = Buffer(bytes, slice);
  return WalkMessage(&buffer, *Message::descriptor());
}

std::string Repeated(const std::string& piece, int64_t times) {
  std::string bytes;
  bytes.reserve(piece.size() * static_cast<size_t>(times));
  for (int64_t i = 0; i < times; ++i) bytes += piece;
  return bytes;
}

std::string Varint(size_t value) {
  std::string bytes;
  for (; value > 127; value >>= 7) bytes.push_back(static_cast<char>(value | 128));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Field(int number, const std::string& body) {
  return Varint(static_cast<size_t>(number) << 3 | 2) + Varint(body.size()) + body;
}

// The field that a message is refused for as over a limit; "" where it is not.
template <typename T>
std::string FieldAtFault(const absl::StatusOr<T>& walk) {
  const auto details = GetErrorDetails(walk.status());
  return details && details->reason == ErrorReason::kLimitExceeded ? details->field : "";
}

v1::ExtractFeaturesRequest Usual() {
  v1::ExtractFeaturesRequest request;
  request.set_model("efficientnet-lite0");
  for (int i = 0; i < 32; ++i) {
    v1::Image* image = request.add_images();
    image->set_image_id("album/" + std::to_string(i));
    image->set_encoded(std::string(100'000, 'p'));
    v1::Head* head = request.add_heads();
    head->set_head_id(std::to_string(i));
    head->mutable_max_pool()->add_kernel_size(3);
  }
  request.mutable_input_options()->add_scales(1.5F);
  return request;
}

TEST(MessageWalkTest, TheUsualTakesLittleMoreThanItsBytes) {
  const std::string bytes = Usual().SerializeAsString();
  for (const size_t slice : {size_t{1}, size_t{7}, size_t{16'384}, bytes.size()}) {
    const auto walk = Walk<v1::ExtractFeaturesRequest>(bytes, slice);
    ASSERT_TRUE(walk.ok()) << walk.status();
    EXPECT_FALSE(walk->has_unknown);
    EXPECT_GE(walk->bytes, static_cast<int64_t>(bytes.size()));
    EXPECT_LT(walk->bytes, static_cast<int64_t>(bytes.size()) + 50'000);
  }
  EXPECT_TRUE(Walk<v1::ExtractFeaturesRequest>("").ok());
}

// What a message takes is never more than was reckoned.
TEST(MessageWalkTest, ReckonsNoLessThanWhatTheParserTakes) {
  std::vector<std::string> all = {Usual().SerializeAsString(),
                                  Repeated(Field(3, ""), 50'000),
                                  Repeated(Field(4, ""), 50'000),
                                  Repeated(Field(3, Field(3, "")), 30'000),
                                  Repeated(Field(4, Field(24, Field(1, "\1"))), 20'000),
                                  Repeated(Field(99, "unknown"), 50'000)};
  for (const std::string& bytes : all) {
    const auto walk = Walk<v1::ExtractFeaturesRequest>(bytes);
    ASSERT_TRUE(walk.ok()) << walk.status();
    v1::ExtractFeaturesRequest parsed;
    ASSERT_TRUE(parsed.ParseFromString(bytes));
    EXPECT_GE(walk->bytes, static_cast<int64_t>(parsed.SpaceUsedLong())) << bytes.substr(0, 8);
  }
  const std::string indices = Field(3, std::string(1'000'000, '\1'));
  v1::PoolTensorRequest pool;
  ASSERT_TRUE(pool.ParseFromString(indices));
  EXPECT_GE(Walk<v1::PoolTensorRequest>(indices)->bytes,
            static_cast<int64_t>(pool.SpaceUsedLong()));
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
  // protobuf's own reckoning of maps crashes in these builds.
  const std::string inputs = Repeated(Field(5, ""), 50'000) + Repeated(Field(4, Field(1, "k")), 1);
  inference::ModelInferRequest infer;
  ASSERT_TRUE(infer.ParseFromString(inputs));
  EXPECT_GE(Walk<inference::ModelInferRequest>(inputs)->bytes,
            static_cast<int64_t>(infer.SpaceUsedLong()));
#endif
}

TEST(MessageWalkTest, PartsAreBounded) {
  const std::string most = Repeated(Field(3, ""), kMaxParts);
  EXPECT_TRUE(Walk<v1::ExtractFeaturesRequest>(most).ok());
  const auto walk = Walk<v1::ExtractFeaturesRequest>(most + Field(3, ""));
  EXPECT_EQ(FieldAtFault(walk), "images[100000]");
  EXPECT_THAT(std::string(walk.status().message()), HasSubstr("the limit is 100000"));
  EXPECT_EQ(FieldAtFault(Walk<inference::ModelInferRequest>(
                Field(5, Field(5, Repeated(Field(8, ""), kMaxParts))))),
            "inputs[0].contents.bytes_contents[99998]");
}

TEST(MessageWalkTest, NumbersAreBounded) {
  const auto indices = [](size_t count) { return Field(3, std::string(count, '\0')); };
  EXPECT_TRUE(Walk<v1::PoolTensorRequest>(indices(kMaxNumbers), 1 << 20).ok());
  EXPECT_EQ(FieldAtFault(Walk<v1::PoolTensorRequest>(indices(kMaxNumbers + 1), 1 << 20)),
            "indices[0]");
  // Each by itself, as older libraries write them; and of more than a byte.
  EXPECT_EQ(FieldAtFault(Walk<v1::PoolTensorRequest>(
                indices(kMaxNumbers - 9) + Repeated(std::string("\x18\xff\x01"), 10), 1 << 20)),
            "indices[10]");
  // Floats take what they were sent with.
  EXPECT_TRUE(
      Walk<v1::PoolTensorRequest>(Field(1, Field(2, std::string(1 << 26, '\0'))), 1 << 20).ok());
}

TEST(MessageWalkTest, TextsAreBoundedAndPicturesAreNot) {
  v1::StreamFeaturesRequest request;
  request.mutable_image()->set_encoded(std::string(1 << 20, 'p'));
  request.mutable_image()->set_image_id(std::string(kMaxTextBytes, 'i'));
  EXPECT_TRUE(Walk<v1::StreamFeaturesRequest>(request.SerializeAsString()).ok());
  request.mutable_image()->mutable_image_id()->push_back('i');
  EXPECT_EQ(FieldAtFault(Walk<v1::StreamFeaturesRequest>(request.SerializeAsString())),
            "image.image_id");
  v1::ExtractFeaturesRequest heads;
  heads.add_heads();
  heads.add_heads()->set_layer(std::string(1 << 20, 'l'));
  EXPECT_EQ(FieldAtFault(Walk<v1::ExtractFeaturesRequest>(heads.SerializeAsString())),
            "heads[1].layer");
  inference::ModelInferRequest infer;
  (*infer.mutable_parameters())[std::string(kMaxTextBytes + 1, 'k')].set_bool_param(true);
  EXPECT_EQ(FieldAtFault(Walk<inference::ModelInferRequest>(infer.SerializeAsString())),
            "parameters[0].key");
}

TEST(MessageWalkTest, UnknownFieldsAreSeen) {
  EXPECT_TRUE(Walk<v1::GetModelRequest>(Field(99, std::string(1 << 20, 'u')))->has_unknown);
  EXPECT_TRUE(Walk<v1::ExtractFeaturesRequest>(Field(3, Field(77, "x")))->has_unknown);
  // Of another wire type than the field has.
  EXPECT_TRUE(Walk<v1::GetModelRequest>(std::string("\x08\x01"))->has_unknown);
}

TEST(MessageWalkTest, WhatIsNoMessageIsNone) {
  const std::string good = Field(1, "name") + Field(3, Field(1, "id") + Field(2, "bytes"));
  ASSERT_TRUE(Walk<v1::ExtractFeaturesRequest>(good).ok());
  v1::ExtractFeaturesRequest parsed;
  for (size_t cut = 1; cut < good.size(); ++cut) {
    EXPECT_EQ(Walk<v1::ExtractFeaturesRequest>(good.substr(0, cut)).ok(),
              parsed.ParseFromString(good.substr(0, cut)))
        << cut;
  }
  for (const std::string& bytes :
       {std::string("\0", 1), std::string("\x0f"), std::string("\x1b\x1c"), std::string("\x0c"),
        Field(3, std::string("\x0a\x05id")), std::string("\x1a\x7f\x0a\x01i"),
        std::string("\x1a\xff\xff\xff\xff\x0f"), std::string(11, '\xff')}) {
    const auto walk = Walk<v1::ExtractFeaturesRequest>(bytes);
    const auto details = GetErrorDetails(walk.status());
    ASSERT_TRUE(details.has_value()) << bytes;
    EXPECT_EQ(details->reason, ErrorReason::kRequestInvalid);
  }
}

}  // namespace
}  // namespace pixpool
