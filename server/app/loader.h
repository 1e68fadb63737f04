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

  // Bundles of so many bytes are loaded, and no call is under way. The first time that there are
  // any, what the process takes is measured.
  void Measure(int64_t bundle_bytes);

  // What the process takes with so many bytes loaded and no call under way: in proportion to what
  // was measured, and before that as many more as there are in the bundles. Of small bundles most
  // of what was measured is the engine's own, so a larger one is taken to be like other large ones.
  int64_t With(int64_t bundle_bytes) const;

 private:
  const std::function<int64_t()> resident_;
  const int64_t bare_;  // without models
  int64_t first_ = 0;   // with those that were measured
  int64_t first_bytes_ = 0;
};

}  // namespace pixpool
