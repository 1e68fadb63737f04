#include "client/cpp/values.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "client/cpp/heads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

v1::HeadResult Packed(v1::Encoding encoding, const std::vector<int64_t>& shape,
                      const std::string& bytes, float scale = 0) {
  v1::HeadResult result;
  result.set_head_id("h");
  result.mutable_shape()->Add(shape.begin(), shape.end());
  result.set_encoding(encoding);
  result.set_packed_values(bytes);
  result.set_scale(scale);
  return result;
}

std::vector<float> Decoded(const v1::HeadResult& result) {
  const absl::StatusOr<std::vector<float>> values = DecodeValues(result);
  EXPECT_TRUE(values.ok()) << values.status();
  return values.ok() ? *values : std::vector<float>();
}

std::string Complaint(const v1::HeadResult& result) {
  const absl::Status status = DecodeValues(result).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  return std::string(status.message());
}

std::string Halves(const std::vector<int>& bits) {
  std::string bytes;
  for (const int b : bits) {
    bytes += static_cast<char>(b & 0xFF);
    bytes += static_cast<char>(b >> 8);
  }
  return bytes;
}

TEST(ValuesTest, FloatsComeAsTheyAre) {
  v1::HeadResult result = Packed(v1::ENCODING_FLOAT32, {1, 2}, "");
  result.add_values(0.1f);
  result.add_values(-INFINITY);
  EXPECT_THAT(Decoded(result), ElementsAre(0.1f, -INFINITY));
  result.set_encoding(v1::ENCODING_UNSPECIFIED);  // a server that knows no other
  EXPECT_THAT(Decoded(result), ElementsAre(0.1f, -INFINITY));
}

TEST(ValuesTest, HalvesOfEveryKind) {
  const std::vector<float> values = Decoded(
      Packed(v1::ENCODING_FLOAT16, {9},
             Halves({0x3C00, 0xC000, 0x3555, 0x0001, 0x0400, 0x7BFF, 0x7C00, 0xFC00, 0x8000})));
  EXPECT_THAT(values, ElementsAre(1, -2, 0.333251953125f, std::ldexp(1.0f, -24),
                                  std::ldexp(1.0f, -14), 65504, INFINITY, -INFINITY, 0));
  EXPECT_TRUE(std::signbit(values[8]));
  EXPECT_TRUE(std::isnan(Decoded(Packed(v1::ENCODING_FLOAT16, {1}, Halves({0x7E00})))[0]));
}

// The step to the next value doubles with each exponent.
TEST(ValuesTest, AllHalvesLieInOrderAndMirrorTheirNegatives) {
  std::vector<int> bits(0x10000);
  std::iota(bits.begin(), bits.end(), 0);
  const std::vector<float> values = Decoded(Packed(v1::ENCODING_FLOAT16, {0x10000}, Halves(bits)));
  ASSERT_EQ(values.size(), bits.size());
  EXPECT_EQ(values[0], 0);
  for (int i = 1; i < 0x7C00; ++i) {
    const int exponent = std::max((i - 1) >> 10, 1);
    EXPECT_EQ(values[i] - values[i - 1], std::ldexp(1.0f, exponent - 25)) << i;
    EXPECT_EQ(values[i | 0x8000], -values[i]) << i;
  }
  for (int i = 0x7C01; i < 0x8000; ++i) {
    EXPECT_TRUE(std::isnan(values[i]) && std::isnan(values[i | 0x8000])) << i;
  }
}

TEST(ValuesTest, BytesTimesScale) {
  EXPECT_THAT(Decoded(Packed(v1::ENCODING_INT8, {2, 2}, std::string("\x7F\x81\x00\x01", 4), 0.5f)),
              ElementsAre(63.5, -63.5, 0, 0.5));
  EXPECT_THAT(Decoded(Packed(v1::ENCODING_INT8, {1}, std::string(1, '\0'), 0)), ElementsAre(0));
}

TEST(ValuesTest, BitsFromTheTop) {
  EXPECT_THAT(Decoded(Packed(v1::ENCODING_BINARY, {10}, "\xA1\x40")),
              ElementsAre(1, 0, 1, 0, 0, 0, 0, 1, 0, 1));
  EXPECT_EQ(Decoded(Packed(v1::ENCODING_BINARY, {2, 8}, "\x01\xFF")).size(), 16u);
}

TEST(ValuesTest, ResultsWithoutValues) {
  v1::HeadResult scores;
  scores.add_shape(1);
  scores.add_class_scores()->set_score(1);
  EXPECT_THAT(Decoded(scores), IsEmpty());
  v1::HeadResult map;
  map.mutable_activation_map()->set_png("png");
  EXPECT_THAT(Decoded(map), IsEmpty());
}

TEST(ValuesTest, MalformedResultsAreNamed) {
  EXPECT_EQ(Complaint(Packed(v1::ENCODING_FLOAT32, {2}, "")),
            "the server sent a malformed result for head h: 0 floats and 0 packed bytes for 2 "
            "values in float32");
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_FLOAT16, {2}, "abc")),
              HasSubstr("3 packed bytes for 2 values in float16"));
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_INT8, {2}, "abc", 1)),
              HasSubstr("3 packed bytes for 2 values in int8"));
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_BINARY, {9}, "a")),
              HasSubstr("1 packed bytes for 9 values in binary"));
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_BINARY, {}, "a")), HasSubstr("for 0 values"));
  v1::HeadResult both = Packed(v1::ENCODING_INT8, {1}, "a", 1);
  both.add_values(1);
  EXPECT_THAT(Complaint(both), HasSubstr("1 floats and 1 packed bytes"));
}

TEST(ValuesTest, ShapesThatNothingHasAreRefused) {
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_FLOAT32, {2, -1}, "")), HasSubstr("shape 2 x -1"));
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_BINARY, {kHuge, kHuge}, "")), HasSubstr("shape 92"));
  // Times two bytes this would be 0.
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_FLOAT16, {int64_t{1} << 32, int64_t{1} << 31}, "")),
              HasSubstr("shape "));
}

TEST(ValuesTest, ScaleFillAndEncodingAreChecked) {
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_INT8, {1}, "a", NAN)), HasSubstr("scale nan"));
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_INT8, {1}, "a", -1)), HasSubstr("scale -1"));
  EXPECT_THAT(Complaint(Packed(v1::ENCODING_BINARY, {3}, "\x10")),
              HasSubstr("bits set after the last of 3 values"));
  EXPECT_THAT(Complaint(Packed(static_cast<v1::Encoding>(77), {1}, "a")),
              HasSubstr("encoding 77, which this client does not know"));
}

TEST(ValuesTest, EncodingNamesAreThoseOfParseHead) {
  for (int e = v1::ENCODING_FLOAT32; e <= v1::Encoding_MAX; ++e) {
    const auto encoding = static_cast<v1::Encoding>(e);
    EXPECT_EQ(ParseHead("gem:encoding=" + EncodingName(encoding))->encoding(), encoding);
  }
  EXPECT_EQ(EncodingName(v1::ENCODING_UNSPECIFIED), "float32");
  EXPECT_EQ(EncodingName(static_cast<v1::Encoding>(77)), "encoding 77");
}

}  // namespace
}  // namespace pixpool::client
