#include "client/cpp/values.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace pixpool::client {
namespace {

// More than a message holds, even at a bit a value.
constexpr int64_t kMaxCount = int64_t{1} << 34;

// Number of values of the result's shape; 0 for no shape. nullopt: nothing can have that shape.
std::optional<size_t> Count(const v1::HeadResult& result) {
  int64_t count = result.shape_size() == 0 ? 0 : 1;
  for (const int64_t extent : result.shape()) {
    if (extent < 0 || (extent > 0 && count > kMaxCount / extent)) return std::nullopt;
    count *= extent;
  }
  return static_cast<size_t>(count);
}

uint8_t Byte(const std::string& bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }

// IEEE 754 binary16: sign, 5 bits of exponent, 10 of fraction.
float FromHalf(int bits) {
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 0x1F;
  const int fraction = bits & 0x3FF;
  if (exponent == 0x1F) {
    return fraction == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  }
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
}

bool Bit(const std::string& bytes, size_t i) { return (Byte(bytes, i / 8) << i % 8 & 0x80) != 0; }

absl::Status Malformed(const v1::HeadResult& result, absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("the server sent a malformed result for head ", result.head_id(), ": ", what));
}

absl::Status CheckScale(const v1::HeadResult& result) {
  if (std::isfinite(result.scale()) && result.scale() >= 0) return absl::OkStatus();
  return Malformed(result, absl::StrCat("scale ", result.scale(), " of int8 values"));
}

// The bits after the last value are zeros.
absl::Status CheckFill(const v1::HeadResult& result, size_t count) {
  for (size_t i = count; i < result.packed_values().size() * 8; ++i) {
    if (Bit(result.packed_values(), i)) {
      return Malformed(result, absl::StrCat("bits set after the last of ", count, " values"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<float>> DecodeValues(const v1::HeadResult& result) {
  if (result.class_scores_size() > 0) return std::vector<float>();
  const std::optional<size_t> count = Count(result);
  if (!count) {
    return Malformed(result, absl::StrCat("shape ", absl::StrJoin(result.shape(), " x ")));
  }
  const std::string& packed = result.packed_values();
  size_t floats = 0, bytes = 0;  // as many as there must be
  switch (result.encoding()) {
    case v1::ENCODING_UNSPECIFIED:
    case v1::ENCODING_FLOAT32:
      floats = *count;
      break;
    case v1::ENCODING_FLOAT16:
      bytes = *count * 2;
      break;
    case v1::ENCODING_INT8:
      bytes = *count;
      if (absl::Status s = CheckScale(result); !s.ok()) return s;
      break;
    case v1::ENCODING_BINARY:
      bytes = (*count + 7) / 8;
      break;
    default:
      return Malformed(result, absl::StrCat("encoding ", static_cast<int>(result.encoding()),
                                            ", which this client does not know"));
  }
  if (static_cast<size_t>(result.values_size()) != floats || packed.size() != bytes) {
    return Malformed(result, absl::StrCat(result.values_size(), " floats and ", packed.size(),
                                          " packed bytes for ", *count, " values in ",
                                          EncodingName(result.encoding())));
  }
  if (floats > 0) return std::vector<float>(result.values().begin(), result.values().end());

  std::vector<float> values(*count);
  if (result.encoding() == v1::ENCODING_FLOAT16) {
    for (size_t i = 0; i < *count; ++i) {
      values[i] = FromHalf(Byte(packed, 2 * i) | Byte(packed, 2 * i + 1) << 8);
    }
  } else if (result.encoding() == v1::ENCODING_INT8) {
    for (size_t i = 0; i < *count; ++i) {
      values[i] = static_cast<float>(static_cast<int8_t>(packed[i])) * result.scale();
    }
  } else if (result.encoding() == v1::ENCODING_BINARY) {
    if (absl::Status s = CheckFill(result, *count); !s.ok()) return s;
    for (size_t i = 0; i < *count; ++i) values[i] = Bit(packed, i) ? 1.0f : 0.0f;
  }
  return values;
}

std::string EncodingName(v1::Encoding encoding) {
  if (encoding == v1::ENCODING_UNSPECIFIED) encoding = v1::ENCODING_FLOAT32;
  constexpr absl::string_view kPrefix = "ENCODING_";
  const std::string& name = v1::Encoding_Name(encoding);
  return absl::StartsWith(name, kPrefix)
             ? absl::AsciiStrToLower(absl::string_view(name).substr(kPrefix.size()))
             : absl::StrCat("encoding ", static_cast<int>(encoding));
}

}  // namespace pixpool::client
