#include "server/heads/postprocess.h"

#include <c10/util/Half.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "server/base/text.h"

namespace pixpool {
namespace {

static_assert(std::endian::native == std::endian::little, "half floats are packed as they lie");

constexpr double kMinNorm = 1e-12;  // as torch.nn.functional.normalize

std::string PackHalf(absl::Span<const float> values) {
  std::string bytes(values.size() * 2, '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = c10::detail::fp16_ieee_from_fp32_value(values[i]);
    std::memcpy(&bytes[i * 2], &half, 2);
  }
  return bytes;
}

std::string PackInt8(absl::Span<const float> values, float& scale) {
  float largest = 0;
  for (const float value : values) {
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
  }
  // Never zero, so that a quotient is defined; a scale that underflows would lose everything.
  scale = std::max(largest / 127.0f, std::numeric_limits<float>::min());
  std::string bytes(values.size(), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    const float level = std::clamp(std::nearbyint(values[i] / scale), -127.0f, 127.0f);
    bytes[i] = static_cast<char>(static_cast<int8_t>(level));
  }
  return bytes;
}

std::string PackBinary(absl::Span<const float> values) {
  std::string bytes((values.size() + 7) / 8, '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] > 0) bytes[i / 8] = static_cast<char>(bytes[i / 8] | (0x80 >> (i % 8)));
  }
  return bytes;
}

}  // namespace

std::string_view EncodingName(Encoding encoding) {
  switch (encoding) {
    case Encoding::kFloat32:
      return "float32";
    case Encoding::kFloat16:
      return "float16";
    case Encoding::kInt8:
      return "int8";
    case Encoding::kBinary:
      return "binary";
  }
  return "";
}

std::string PostProcessing::Canonical() const {
  // A projection starts and ends with L2, so the wish for it changes nothing.
  std::string text = Concat(";l2_normalized=", l2_normalized || projection ? "true" : "false");
  if (projection) {
    text += Concat(";projection=", projection->sha256, ";dimensions=", dimensions);
  }
  if (encoding == Encoding::kBinary) text += ";encoding=binary";
  return text;
}

void L2Normalize(absl::Span<float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  const double norm = std::max(std::sqrt(sum), kMinNorm);
  for (float& value : values) value = static_cast<float>(value / norm);
}

void FinishPass(const PostProcessing& post, std::vector<float>& values) {
  if (post.l2_normalized || post.projection) L2Normalize(absl::MakeSpan(values));
}

std::vector<float> SumPasses(absl::Span<const std::vector<float>* const> passes) {
  std::vector<float> sum = *passes.front();
  for (const std::vector<float>* pass : passes.subspan(1)) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += (*pass)[i];
  }
  L2Normalize(absl::MakeSpan(sum));
  return sum;
}

std::vector<float> Project(const Projection& projection, absl::Span<const float> values,
                           int64_t dimensions) {
  std::vector<float> result(static_cast<size_t>(dimensions));
  const float* column = projection.columns.data();
  // By columns: the inner loop runs along memory and has no sum to wait for.
  for (size_t i = 0; i < values.size(); ++i, column += projection.output_dimensions) {
    const float value = values[i] - projection.mean[i];
    for (size_t k = 0; k < result.size(); ++k) result[k] += value * column[k];
  }
  return result;
}

void FinishVector(const PostProcessing& post, std::vector<float>& values) {
  if (!post.projection) return;
  values = Project(*post.projection, values, post.dimensions);
  L2Normalize(absl::MakeSpan(values));
}

std::string Encode(absl::Span<const float> values, Encoding encoding, float& scale) {
  switch (encoding) {
    case Encoding::kFloat16:
      return PackHalf(values);
    case Encoding::kInt8:
      return PackInt8(values, scale);
    case Encoding::kBinary:
      return PackBinary(values);
    case Encoding::kFloat32:
      break;
  }
  return "";
}

}  // namespace pixpool
