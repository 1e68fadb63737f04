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
  explicit FakeModel(const BundleLocation& at, int64_t usual_bytes = 0)
      : usual_bytes_(usual_bytes) {
    info_.name = at.name;
    info_.version = at.version;
  }
  const ModelInfo& info() const override { return info_; }
  int instance_count() const override { return 1; }
  int useful_batch_size() const override { return 8; }
  void EnterInstanceThread(int) override {}
  void RunBatch(const BatchPlace&, absl::Span<const ModelTask>, absl::Span<ModelResult>,
                ModelRunTimes*) override {}
  int64_t UsualBytes() const override { return usual_bytes_; }

 private:
  const int64_t usual_bytes_;
  ModelInfo info_;
};

// Loads one, unless its manifest is the word "bad". One of "usual N" says that its usual passes
// take N bytes.
inline absl::StatusOr<std::unique_ptr<Model>> LoadFake(const BundleLocation& at) {
  const std::string manifest = ReadFile(std::filesystem::path(at.dir) / "manifest.json");
  if (manifest == "bad") {
    return absl::InvalidArgumentError(Concat("bundle ", at.dir, ": it is bad"));
  }
  constexpr std::string_view kUsual = "usual ";
  const bool usual = manifest.starts_with(kUsual);
  return std::make_unique<FakeModel>(at, usual ? std::stoll(manifest.substr(kUsual.size())) : 0);
}

}  // namespace pixpool
