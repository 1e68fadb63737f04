#include "server/pipeline/limits.h"

#include <string>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

double BytesPerValue(Encoding encoding) {
  switch (encoding) {
    case Encoding::kFloat32:
      return 4;
    case Encoding::kFloat16:
      return 2;
    case Encoding::kInt8:
      return 1;
    case Encoding::kBinary:
      return 0.125;
  }
  return 4;
}

// Beyond int64 the exact number does not matter.
int64_t Rounded(double value) { return value < 9e18 ? static_cast<int64_t>(value) : INT64_MAX; }

}  // namespace

absl::Status OverLimit(std::string_view field, std::string_view what, int64_t actual,
                       FlagNumber limit, std::string_view advice) {
  ErrorDetails details{.reason = ErrorReason::kLimitExceeded, .field = std::string(field)};
  details.metadata = {{"limit", Concat(limit.value)},
                      {"actual", Concat(actual)},
                      {"flag", std::string(limit.flag)}};
  return MakeError(details, Concat(what, ": ", actual, "; the limit is ", limit.value, " (",
                                   limit.flag, "); ", advice));
}

absl::Status CheckHeadCount(const PipelineOptions& options, size_t heads) {
  if (heads <= static_cast<size_t>(options.max_heads_per_request)) return absl::OkStatus();
  return OverLimit("heads", "too many heads in one request", static_cast<int64_t>(heads),
                   options.max_heads_per_request, "split the request");
}

absl::Status CheckRegionCount(const PipelineOptions& options, size_t count) {
  if (count <= static_cast<size_t>(options.max_regions_per_image)) return absl::OkStatus();
  return OverLimit("regions", "too many regions of one image", static_cast<int64_t>(count),
                   options.max_regions_per_image, "send the image again with the others");
}

void HeadCost::Add(const HeadSpec& head, const HeadExtents& map, int64_t maps) {
  const auto times = static_cast<double>(maps);
  double values = static_cast<double>(head.type->value_count(head, map.c, map.h, map.w));
  if (head.post.projection) values = static_cast<double>(head.post.dimensions);
  double bytes = values * BytesPerValue(head.post.encoding);
  // Half of the values are indices then, and of eight bytes.
  if (head.ReturnsIndices()) {
    bytes = values / 2 * (BytesPerValue(head.post.encoding) + 8);
  }
  response_bytes += times * bytes;
  operations += times * HeadOperations(head, map.c, map.h, map.w);
}

double OperationsOnInput(absl::Span<const HeadSpec> heads, absl::Span<const LayerInfo> layers,
                         Size input) {
  double operations = 0;
  for (const HeadSpec& head : heads) {
    const HeadExtents map = ExtentsOf(head, layers, input, 1);
    operations += HeadOperations(head, map.c, map.h, map.w);
  }
  return operations;
}

absl::Status CheckPassBytes(const Model& model, Size input, absl::Span<const HeadSpec> heads,
                            int64_t most, std::string_view field, int64_t more) {
  const int64_t bytes = model.PassBytes(input, heads) + more;
  if (bytes <= most) return absl::OkStatus();
  ErrorDetails details{.reason = ErrorReason::kLimitExceeded, .field = std::string(field)};
  const std::string_view flag = MemoryLimit::kMaxMemory.flag;
  details.metadata = {
      {"limit", Concat(most)}, {"actual", Concat(bytes)}, {"flag", std::string(flag)}};
  return MakeError(details, Concat("a pass of the network over ", input.width, " x ", input.height,
                                   " pixels takes ", bytes, " bytes; the limit is ", most,
                                   ", what ", flag, " leaves for it; ask for a smaller input"));
}

absl::Status CheckHeadCost(const PipelineOptions& options, const HeadCost& cost) {
  if (cost.response_bytes > static_cast<double>(options.max_response_bytes)) {
    return OverLimit("heads", "estimated bytes of the response", Rounded(cost.response_bytes),
                     options.max_response_bytes,
                     "ask for fewer images, smaller maps or pooled features");
  }
  if (cost.operations > static_cast<double>(options.max_head_operations)) {
    return OverLimit("heads", "map values that the heads would read", Rounded(cost.operations),
                     options.max_head_operations,
                     "use smaller windows, larger strides or fewer heads");
  }
  return absl::OkStatus();
}

}  // namespace pixpool
