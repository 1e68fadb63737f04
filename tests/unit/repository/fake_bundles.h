// Bundles of a word, and models that do nothing.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "server/base/text.h"
#include "server/model/model.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {

// A model of the name and version of its folder.
class FakeModel final : public Model {
 public:
  explicit FakeModel(const BundleLocation& at) {
    info_.name = at.name;
    info_.version = at.version;
  }
  const ModelInfo& info() const override { return info_; }
  int instance_count() const override { return 1; }
  int useful_batch_size() const override { return 8; }
  void EnterInstanceThread(int) override {}
  void RunBatch(const BatchPlace&, absl::Span<const ModelTask>, absl::Span<ModelResult>,
                ModelRunTimes*) override {}

 private:
  ModelInfo info_;
};

// Loads one, unless its manifest is the word "bad".
inline absl::StatusOr<std::unique_ptr<Model>> LoadFake(const BundleLocation& at) {
  if (ReadFile(std::filesystem::path(at.dir) / "manifest.json") == "bad") {
    return absl::InvalidArgumentError(Concat("bundle ", at.dir, ": it is bad"));
  }
  return std::make_unique<FakeModel>(at);
}

}  // namespace pixpool
