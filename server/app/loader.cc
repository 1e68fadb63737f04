#include "server/app/loader.h"

#include <algorithm>

#include "server/app/last_words.h"
#include "server/base/status_macros.h"

namespace pixpool {
namespace {

// Bundles of fewer bytes do not show what their bytes take.
constexpr int64_t kSmallBundles = 4 << 20;
// What a byte of a bundle takes at the most, its network compiled for two threads and with its
// first passes; six bytes with OpenVINO and EfficientNet-Lite0.
constexpr double kMemoryOfAByte = 8;

}  // namespace

std::function<absl::StatusOr<std::unique_ptr<Model>>(const BundleLocation&, const Model* like)>
BundleLoader(const ModelOptions& options, const Machine& machine) {
  return [options, machine](const BundleLocation& at,
                            const Model* like) -> absl::StatusOr<std::unique_ptr<Model>> {
    try {
      PIXPOOL_ASSIGN_OR_RETURN(const Bundle bundle, OpenBundle(at.dir));
      return LoadModel(bundle, options, machine, like);
    } catch (...) {  // no memory, no threads
      return absl::ResourceExhaustedError(ExplainException());
    }
  };
}

void MemoryOfBundles::Measure(int64_t bundle_bytes) {
  if (first_bytes_ > 0 || bundle_bytes <= 0) return;
  first_ = resident_();
  first_bytes_ = bundle_bytes;
}

int64_t MemoryOfBundles::With(int64_t bundle_bytes) const {
  if (first_bytes_ == 0) return bare_ + bundle_bytes;
  double each =
      static_cast<double>(std::max<int64_t>(0, first_ - bare_)) / static_cast<double>(first_bytes_);
  if (first_bytes_ < kSmallBundles && bundle_bytes > first_bytes_) {
    each = std::min(each, kMemoryOfAByte);
  }
  return first_ + static_cast<int64_t>(each * static_cast<double>(bundle_bytes - first_bytes_));
}

}  // namespace pixpool
