// Shared by the tests of the folders from server/bundle to server/model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "server/base/error.h"
#include "server/bundle/manifest.h"
#include "server/heads/heads.h"
#include "server/heads/pool_tensor.h"
#include "server/image/image.h"
#include "server/model/model.h"

namespace pixpool {

// A folder of the test's own, removed at its end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void WriteFile(const std::filesystem::path& path, const std::string& bytes);
std::string ReadFile(const std::filesystem::path& path);

// A golden document ("resize") of make_model_goldens.py, and a stretch of its data.bin.
nlohmann::json ReadGoldens(const std::string& name);
const uint8_t* GoldenData(int64_t offset);

// Folder of the tiny bundle of make_tiny_bundle.py.
std::filesystem::path TinyBundleDir();

// A copy of the tiny bundle below `root` whose manifest went through `edit`; digests are made to
// match afterwards.
std::filesystem::path CopyTinyBundle(const std::filesystem::path& root);
void RefreshDigests(const std::filesystem::path& bundle);

// A valid manifest with layers early and late, a classifier and a golden.
nlohmann::json GoodManifest();

// Scope with layers early (6 channels) and late (10 channels), the default and the classifier's, 7
// classes.
HeadScope TestScope();

// Scope of a transformer, which every kind of head fits: layer early (6 channels) without prefix
// tokens, register (6) with 2 registers, late (10), the default, with a class token and 2
// registers; vectors embedding (12), which the classifier of 7 classes stands on, and vlad (3).
HeadScope TokenScope();

// One head on one map [c, h, w] of plain floats. Fields of errors start with "heads[0]".
absl::StatusOr<HeadOutput> ApplyHead(const HeadSpec& head, absl::Span<const float> values,
                                     int64_t c, int64_t h, int64_t w);

// The parameters that a head of this kind needs at least: windows and grids of 2, names "vlad".
ParamMap RequiredParams(const HeadType& type);

// Validates a head that must be valid.
HeadSpec MakeHead(const std::string& kind, ParamMap params = {}, bool l2_normalized = false,
                  const std::string& layer = "", const HeadScope& scope = TestScope());

// The details of an error that must have some.
ErrorDetails DetailsOf(const absl::Status& status);

// A picture of noise.
Image NoisePicture(int width, int height, uint32_t seed);

}  // namespace pixpool
