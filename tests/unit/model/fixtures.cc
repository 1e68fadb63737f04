#include "tests/unit/model/fixtures.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "server/base/sha256.h"

namespace pixpool {

namespace fs = std::filesystem;
using nlohmann::json;

TempDir::TempDir() {
  std::string name = (fs::temp_directory_path() / "pixpool_test_XXXXXX").string();
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void WriteFile(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out << bytes;
  ASSERT_TRUE(out.good()) << path;
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  EXPECT_TRUE(in.good()) << path << " is missing: run the tests with ctest, which makes it";
  return std::move(bytes).str();
}

json ReadGoldens(const std::string& name) {
  return json::parse(ReadFile(fs::path(PIXPOOL_MODEL_DATA) / (name + ".json")));
}

const uint8_t* GoldenData(int64_t offset) {
  static const auto* const data =
      new std::string(ReadFile(fs::path(PIXPOOL_MODEL_DATA) / "data.bin"));
  return reinterpret_cast<const uint8_t*>(data->data()) + offset;
}

fs::path TinyBundleDir() { return fs::path(PIXPOOL_MODEL_DATA) / "tiny" / "1"; }

fs::path CopyTinyBundle(const fs::path& root) {
  fs::path target = root / "tiny" / "1";
  fs::create_directories(target);
  fs::copy(TinyBundleDir(), target, fs::copy_options::recursive);
  return target;
}

void RefreshDigests(const fs::path& bundle) {
  json manifest = json::parse(ReadFile(bundle / "manifest.json"));
  for (json& file : manifest["files"]) {
    file["sha256"] = Sha256Hex(ReadFile(bundle / file["path"].get<std::string>()));
  }
  WriteFile(bundle / "manifest.json", manifest.dump());
}

json GoodManifest() {
  const std::string digest(64, 'a');
  return json::parse(R"({
    "format_version": 1, "name": "net", "version": "3", "license": "MIT",
    "weights_sha256": ")" +
                     digest + R"(",
    "input": {"resize": "shorter_side", "resize_size": 256, "interpolation": "bicubic",
              "crop": "center", "height": 224, "width": 192,
              "mean": [127, 126.5, 125], "std": [128, 64, 32]},
    "layers": [
      {"name": "early", "channels": 6, "stride": 4, "non_negative": false},
      {"name": "late", "channels": 10, "stride": 8, "non_negative": true}],
    "default_layer": "late",
    "engines": [{"engine": "torchscript", "precision": "float32", "path": "net.ts"}],
    "classifier": {"layer": "late", "class_count": 7, "weight": "w.f32", "bias": "b.f32",
                   "labels": "labels.txt"},
    "golden": {"image": "g.png", "layer": "early", "values": "g.f32", "min_cosine": 0.999},
    "files": [
      {"path": "net.ts", "sha256": ")" +
                     digest + R"("}, {"path": "w.f32", "sha256": ")" + digest +
                     R"("}, {"path": "b.f32", "sha256": ")" + digest +
                     R"("}, {"path": "labels.txt", "sha256": ")" + digest +
                     R"("}, {"path": "g.png", "sha256": ")" + digest +
                     R"("}, {"path": "sub/g.f32", "sha256": ")" + digest +
                     R"("}, {"path": "g.f32", "sha256": ")" + digest + R"("}]})");
}

HeadScope TestScope() {
  static const auto* const layers = new std::vector<LayerInfo>{{"early", 6, 4}, {"late", 10, 8}};
  return {.layers = *layers, .default_layer = "late", .classifier_layer = "late", .class_count = 7};
}

HeadScope TokenScope() {
  static const auto* const layers = new std::vector<LayerInfo>{
      {.name = "early", .channels = 6, .stride = 4},
      {.name = "register", .channels = 6, .stride = 4, .prefix_tokens = 2},
      {.name = "late", .channels = 10, .stride = 8, .prefix_tokens = 3, .class_token = true}};
  static const auto* const vectors = new std::vector<VectorInfo>{{"embedding", 12}, {"vlad", 3}};
  return {.layers = *layers,
          .default_layer = "late",
          .vectors = *vectors,
          .classifier_vector = "embedding",
          .class_count = 7};
}

absl::StatusOr<HeadOutput> ApplyHead(const HeadSpec& head, absl::Span<const float> values,
                                     int64_t c, int64_t h, int64_t w) {
  const MapsView maps = {.values = values, .n = 1, .c = c, .h = h, .w = w};
  auto results = PoolMaps(absl::MakeConstSpan(&head, 1), maps);
  if (!results.ok()) return results.status();
  return std::move((*results)[0][0]);
}

ParamMap RequiredParams(const HeadType& type) {
  const std::vector<int64_t> two = {2};
  ParamMap params;
  for (const ParamSpec& p : type.params) {
    if (!p.required) continue;
    params[std::string(p.name)] =
        p.type == ParamType::kText ? ParamValue(std::string("vlad")) : ParamValue(two);
  }
  if (type.name == "conv_pool") {  // one of two filters
    params["mean_filter"] = true;
    params["kernel_size"] = two;
  }
  return params;
}

HeadSpec MakeHead(const std::string& kind, ParamMap params, bool l2_normalized,
                  const std::string& layer, const HeadScope& scope) {
  HeadRequest request;
  request.kind = kind;
  request.layer = layer;
  request.params = std::move(params);
  request.l2_normalized = l2_normalized;
  absl::StatusOr<HeadSpec> spec = ValidateHead(request, scope);
  EXPECT_TRUE(spec.ok()) << kind << ": " << spec.status();
  return spec.ok() ? *spec : HeadSpec();
}

ErrorDetails DetailsOf(const absl::Status& status) {
  const std::optional<ErrorDetails> details = GetErrorDetails(status);
  EXPECT_TRUE(details.has_value()) << status;
  return details.value_or(ErrorDetails());
}

Image NoisePicture(int width, int height, uint32_t seed) {
  std::mt19937 random(seed);
  Image picture(width, height);
  for (size_t i = 0; i < picture.byte_size(); ++i) {
    picture.data()[i] = static_cast<uint8_t>(random());
  }
  return picture;
}

}  // namespace pixpool
