// How the process loads a bundle.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "server/model/model.h"

namespace pixpool {

// Opens bundles with their digests checked, and loads them as LoadModel does.
std::function<absl::StatusOr<std::unique_ptr<Model>>(const BundleLocation&, const Model* like)>
BundleLoader(const ModelOptions& options, const Machine& machine);

// What models are reckoned to take of the process's memory, by the bytes of their bundles on the
// disk: while others serve it cannot be measured. One thread at a time.
class MemoryOfBundles {
 public:
  // `resident` gives what the process takes.
  explicit MemoryOfBundles(std::function<int64_t()> resident)
      : resident_(std::move(resident)), bare_(resident_()) {}

  // What the process takes with bundles of so many bytes loaded and no call under way. Measured the
  // first time, when there are no calls; then in proportion.
  int64_t With(int64_t bundle_bytes);

 private:
  const std::function<int64_t()> resident_;
  const int64_t bare_;  // without models
  int64_t first_ = 0;   // with those of the first time
  int64_t first_bytes_ = 0;
};

}  // namespace pixpool
