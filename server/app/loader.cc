#include "server/app/loader.h"

#include <algorithm>

#include "server/app/last_words.h"
#include "server/base/status_macros.h"

namespace pixpool {

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
  const double each =
      static_cast<double>(std::max<int64_t>(0, first_ - bare_)) / static_cast<double>(first_bytes_);
  return first_ + static_cast<int64_t>(each * static_cast<double>(bundle_bytes - first_bytes_));
}

}  // namespace pixpool
