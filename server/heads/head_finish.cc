// What a head says about its values, and what follows pooling.
#include <algorithm>
#include <cmath>

#include "server/base/text.h"
#include "server/heads/heads.h"

namespace pixpool {
namespace {

constexpr float kLargestHalf = 65'504;

}  // namespace

std::string NegativesWarning(const HeadSpec& spec, std::string_view where) {
  const HeadType& type = *spec.type;
  const std::string what = type.negatives == nullptr ? "" : type.negatives(spec);
  return what.empty() ? "" : Concat(where, " has negative activations; ", spec.kind(), " ", what);
}

void FinishHead(const HeadSpec& spec, HeadOutput& output) {
  const PostProcessing& post = spec.post;
  if (post.projection) {
    FinishVector(post, output.values);
    output.shape = {static_cast<int64_t>(output.values.size())};
    const Projection& projection = *post.projection;
    if (projection.head_kind != spec.kind()) {
      output.warnings.push_back(Concat("projection '", projection.name, "' was fitted on ",
                                       projection.head_kind, ", not ", spec.kind()));
    } else if (!projection.head_pooling.empty() && projection.head_pooling != spec.pooling) {
      output.warnings.push_back(Concat("projection '", projection.name, "' was fitted on ",
                                       projection.head_pooling, ", not ", spec.pooling));
    }
  }
  if (post.encoding == Encoding::kFloat32) return;
  if (post.encoding == Encoding::kFloat16) {
    const auto too_large = std::count_if(output.values.begin(), output.values.end(), [](float v) {
      return std::isfinite(v) && std::fabs(v) > kLargestHalf;
    });
    if (too_large > 0) {
      output.warnings.push_back(
          Concat(too_large, " values are beyond 65504, the largest of float16"));
    }
  }
  output.packed = Encode(output.values, post.encoding, output.scale);
  // With its memory: what is packed counts as such.
  std::vector<float>().swap(output.values);
}

}  // namespace pixpool
