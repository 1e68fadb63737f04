#include "server/bundle/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(const json& document) {
  const absl::StatusOr<Manifest> manifest = ParseManifest(document.dump());
  if (manifest.ok()) return "no error";
  EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(manifest.status().message());
}

TEST(Manifest, ReadsEveryField) {
  const absl::StatusOr<Manifest> m = ParseManifest(GoodManifest().dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->format_version, 1);
  EXPECT_EQ(m->name, "net");
  EXPECT_EQ(m->version, "3");
  EXPECT_EQ(m->license, "MIT");
  EXPECT_EQ(m->weights_sha256, std::string(64, 'a'));
  EXPECT_EQ(m->input.resize, ResizeMode::kShorterSide);
  EXPECT_EQ(m->input.resize_size, 256);
  EXPECT_EQ(m->input.interpolation, Interpolation::kBicubic);
  EXPECT_EQ(m->input.crop, CropMode::kCenter);
  EXPECT_EQ(m->input.height, 224);
  EXPECT_EQ(m->input.width, 192);
  EXPECT_THAT(m->input.mean, ElementsAre(127, 126.5, 125));
  EXPECT_THAT(m->input.std, ElementsAre(128, 64, 32));
  ASSERT_EQ(m->layers.size(), 2u);
  EXPECT_EQ(m->layers[1].name, "late");
  EXPECT_EQ(m->layers[1].channels, 10);
  EXPECT_EQ(m->layers[1].stride, 8);
  EXPECT_TRUE(m->layers[1].non_negative);
  EXPECT_FALSE(m->layers[0].non_negative);
  EXPECT_EQ(m->default_layer, "late");
  ASSERT_EQ(m->engines.size(), 1u);
  EXPECT_EQ(m->engines[0].engine, "torchscript");
  EXPECT_EQ(m->engines[0].precision, "float32");
  EXPECT_EQ(m->engines[0].path, "net.ts");
  EXPECT_FALSE(m->engines[0].golden_min_cosine.has_value());
  EXPECT_TRUE(m->has_classifier);
  EXPECT_EQ(m->classifier.layer, "late");
  EXPECT_EQ(m->classifier.class_count, 7);
  EXPECT_EQ(m->classifier.weight_path, "w.f32");
  EXPECT_EQ(m->classifier.bias_path, "b.f32");
  EXPECT_EQ(m->classifier.labels_path, "labels.txt");
  EXPECT_TRUE(m->has_golden);
  EXPECT_EQ(m->golden.image_path, "g.png");
  EXPECT_EQ(m->golden.layer, "early");
  EXPECT_EQ(m->golden.values_path, "g.f32");
  EXPECT_EQ(m->golden.min_cosine, 0.999);
  EXPECT_EQ(m->files.size(), 7u);
  EXPECT_EQ(m->FindLayer("early"), &m->layers[0]);
  EXPECT_EQ(m->FindLayer("none"), nullptr);
}

TEST(Manifest, AnEngineMayHaveABoundOfItsOwn) {
  json document = GoodManifest();
  document["engines"][0]["golden_min_cosine"] = 0.97;
  const absl::StatusOr<Manifest> m = ParseManifest(document.dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->engines[0].golden_min_cosine, 0.97);
  document["engines"][0]["golden_min_cosine"] = 1.5;
  EXPECT_FALSE(ParseManifest(document.dump()).ok());
}

TEST(Manifest, AnEngineMaySayWhatItsFilesAreCompiledFor) {
  json document = GoodManifest();
  json& entry = document["engines"][0];
  entry["device"] = "cuda";
  entry["instruction_set"] = "x86-64-v3";
  entry["min_side"] = 33;
  entry["aligned"] = {{"path", "w.f32"}, {"multiple", 32}};
  absl::StatusOr<Manifest> m = ParseManifest(document.dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->engines[0].device, "cuda");
  EXPECT_EQ(m->engines[0].instruction_set, "x86-64-v3");
  EXPECT_EQ(m->engines[0].min_side, 33);
  EXPECT_EQ(m->engines[0].aligned_path, "w.f32");
  EXPECT_EQ(m->engines[0].aligned_multiple, 32);
  m = ParseManifest(GoodManifest().dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->engines[0].device, "");
  EXPECT_EQ(m->engines[0].instruction_set, "");
  EXPECT_EQ(m->engines[0].min_side, 1);
  EXPECT_EQ(m->engines[0].aligned_path, "");
}

TEST(Manifest, ExactResizeMayGoBeyondTheInput) {
  json document = GoodManifest();
  EXPECT_EQ(ParseManifest(document.dump())->input.exact_height, 0);
  document["input"]["resize"] = "exact";
  document["input"]["resize_height"] = 248;
  document["input"]["resize_width"] = 213;
  const absl::StatusOr<Manifest> m = ParseManifest(document.dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->input.exact_height, 248);
  EXPECT_EQ(m->input.exact_width, 213);
}

TEST(Manifest, SizesThatTheNetworkTakes) {
  json document = GoodManifest();  // of 224 x 192
  EXPECT_TRUE(ParseManifest(document.dump())->input.sizes == InputSizes());
  const json own = {{"height", 224}, {"width", 192}};
  const json other = {{"height", 384}, {"width", 384}};
  document["input"]["sizes"] = {{"only", json::array({own, other})}};
  const absl::StatusOr<Manifest> m = ParseManifest(document.dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->input.sizes.Text(), "224 x 192 or 384 x 384 pixels");
  document["input"]["sizes"] = {{"multiple", 32}};
  EXPECT_EQ(ParseManifest(document.dump())->input.sizes.multiple, 32);

  document["input"]["sizes"] = {{"multiple", 14}};
  EXPECT_THAT(ErrorOf(document),
              HasSubstr("$.input.sizes.multiple: must take the recipe's own size, 224 x 192"));
  document["input"]["sizes"] = {{"only", json::array({other})}};
  EXPECT_THAT(ErrorOf(document), HasSubstr("$.input.sizes.only: must take the recipe's own size"));
  document["input"]["sizes"] = json::object();
  EXPECT_THAT(ErrorOf(document), HasSubstr("$.input.sizes.multiple: is missing"));
}

TEST(Manifest, OptionalPartsMayBeAbsent) {
  json document = GoodManifest();
  document.erase("classifier");
  document.erase("golden");
  document["input"]["resize"] = "exact";
  document["input"].erase("resize_size");
  document["engines"][0]["accuracy"] = "keys that are not known are left alone";
  const absl::StatusOr<Manifest> m = ParseManifest(document.dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_FALSE(m->has_classifier);
  EXPECT_FALSE(m->has_golden);

  document = GoodManifest();
  document["classifier"].erase("labels");
  EXPECT_TRUE(ParseManifest(document.dump()).ok());
}

// Every field in turn, missing and of a wrong type.
TEST(Manifest, EachFieldIsNeededAndChecked) {
  const std::vector<std::string> pointers = {"/format_version",
                                             "/name",
                                             "/version",
                                             "/license",
                                             "/weights_sha256",
                                             "/input",
                                             "/input/resize",
                                             "/input/resize_size",
                                             "/input/interpolation",
                                             "/input/crop",
                                             "/input/height",
                                             "/input/width",
                                             "/input/mean",
                                             "/input/std",
                                             "/layers",
                                             "/layers/1/name",
                                             "/layers/0/channels",
                                             "/layers/0/stride",
                                             "/layers/0/non_negative",
                                             "/default_layer",
                                             "/engines",
                                             "/engines/0/engine",
                                             "/engines/0/precision",
                                             "/engines/0/path",
                                             "/classifier/layer",
                                             "/classifier/class_count",
                                             "/classifier/weight",
                                             "/classifier/bias",
                                             "/golden/image",
                                             "/golden/layer",
                                             "/golden/values",
                                             "/golden/min_cosine",
                                             "/files",
                                             "/files/2/path",
                                             "/files/2/sha256"};
  for (const std::string& text : pointers) {
    const json::json_pointer pointer(text);
    // "/layers/1/name" is "$.layers[1].name" in messages.
    std::string path = "$";
    for (json::json_pointer rest = pointer; !rest.empty(); rest.pop_back()) {
      const std::string& part = rest.back();
      path.insert(1, isdigit(part[0]) ? "[" + part + "]" : "." + part);
    }
    json missing = GoodManifest();
    missing.at(pointer.parent_pointer()).erase(pointer.back());
    EXPECT_THAT(ErrorOf(missing), HasSubstr(path + ": is missing"));
    json wrong = GoodManifest();
    wrong[pointer] = json::array({nullptr});
    EXPECT_THAT(ErrorOf(wrong), HasSubstr(path)) << text;
  }
}

TEST(Manifest, ValuesOutOfRangeAreRefused) {
  const std::vector<std::pair<std::string, json>> cases = {
      {"/name", ""},
      {"/name", "a/b"},
      {"/name", ".hidden"},
      {"/version", ".."},
      {"/weights_sha256", std::string(63, 'a')},
      {"/weights_sha256", std::string(64, 'A')},
      {"/input/resize", "stretch"},
      {"/input/resize_size", 0},
      {"/input/height", 0},
      {"/input/resize_height", 0},
      {"/input/resize_width", "wide"},
      {"/input/width", 224.0},
      {"/input/mean", json::array({1, 2})},
      {"/input/mean", json::array({1, 2, "3"})},
      {"/input/mean", json::array({1, 2, 1e300})},
      {"/input/std", json::array({1, 0, 1})},
      {"/layers", json::array()},
      {"/layers/0/name", "late"},
      {"/layers/0/name", "ear;ly"},
      {"/layers/0/channels", 0},
      {"/layers/0/stride", -1},
      {"/default_layer", "middle"},
      {"/engines/0/path", "other.ts"},
      {"/engines/0/device", "tpu"},
      {"/engines/0/instruction_set", 3},
      {"/engines/0/min_side", 0},
      {"/engines/0/aligned", "net.ts"},
      {"/engines/0/aligned", {{"path", "other.ts"}, {"multiple", 32}}},
      {"/engines/0/aligned", {{"path", "net.ts"}, {"multiple", 0}}},
      {"/classifier/layer", "middle"},
      {"/classifier/class_count", 0},
      {"/classifier/weight", "unlisted.f32"},
      {"/classifier/labels", "unlisted.txt"},
      {"/golden/layer", "middle"},
      {"/golden/values", "unlisted.f32"},
      {"/golden/min_cosine", 1.5},
      {"/files/0/path", "../net.ts"},
      {"/files/0/path", "/etc/passwd"},
      {"/files/0/path", "sub/../../x"},
      {"/files/0/path", "./net.ts"},
      {"/files/0/path", "sub//x"},
      {"/files/0/path", "sub\\x"},
      {"/files/0/path", "w.f32"},
      {"/files/0/sha256", "0"},
  };
  for (const auto& [pointer, value] : cases) {
    json document = GoodManifest();
    document[json::json_pointer(pointer)] = value;
    EXPECT_NE(ErrorOf(document), "no error") << pointer << " = " << value;
  }
}

TEST(Manifest, AllProblemsAreListedAtOnce) {
  json document = GoodManifest();
  document["name"] = 3;
  document["input"]["crop"] = "left";
  document["layers"][1].erase("channels");
  const std::string error = ErrorOf(document);
  EXPECT_THAT(error, HasSubstr("$.name"));
  EXPECT_THAT(error, HasSubstr("$.input.crop: must be one of center, none"));
  EXPECT_THAT(error, HasSubstr("$.layers[1].channels: is missing"));
}

TEST(Manifest, OtherFormatVersionIsAFailedPrecondition) {
  json document = GoodManifest();
  document["format_version"] = 2;
  document.erase("name");  // a later format may well lack what this one needs
  const absl::Status status = ParseManifest(document.dump()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("$.format_version: is 2"));
}

TEST(Manifest, GarbageIsRefused) {
  for (const char* text : {"", "{", "[]", "null", "\"x\"", "{\"a\":1}}"}) {
    EXPECT_EQ(ParseManifest(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

// The good manifest with a projection and a filter on layer "late".
json WithBundleData() {
  json document = GoodManifest();
  document["projections"] = {{{"name", "white"},
                              {"layer", "late"},
                              {"head", "gem"},
                              {"input_dimensions", 10},
                              {"output_dimensions", 4},
                              {"pictures", 100},
                              {"explained_variance", 0.9},
                              {"mean", "w.f32"},
                              {"matrix", "b.f32"}}};
  document["filters"] = {{{"name", "learnt"},
                          {"layer", "late"},
                          {"kernel_size", {3, 2}},
                          {"stride", {2, 1}},
                          {"groups", 5},
                          {"output_channels", 20},
                          {"weight", "w.f32"},
                          {"bias", "b.f32"}}};
  return document;
}

TEST(Manifest, ProjectionsAndFiltersAreRead) {
  const auto manifest = ParseManifest(WithBundleData().dump());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_EQ(manifest->projections.size(), 1u);
  EXPECT_EQ(manifest->projections[0].name, "white");
  EXPECT_EQ(manifest->projections[0].output_dimensions, 4);
  ASSERT_EQ(manifest->filters.size(), 1u);
  EXPECT_EQ(manifest->filters[0].kernel_size, (std::array<int64_t, 2>{3, 2}));
  EXPECT_EQ(manifest->filters[0].groups, 5);
  EXPECT_EQ(manifest->filters[0].sha256,
            manifest->FileDigest("w.f32") + "," + manifest->FileDigest("b.f32"));
}

TEST(Manifest, BadProjectionsAndFiltersAreNamed) {
  const std::vector<std::pair<std::string, json>> cases = {
      {"/projections/0/name", "a b"},
      {"/projections/0/layer", "nope"},
      {"/projections/0/output_dimensions", 11},
      {"/projections/0/pictures", 0},
      {"/projections/0/explained_variance", 1.5},
      {"/projections/0/mean", "unlisted.f32"},
      {"/projections", json::array()},
      {"/filters/0/layer", "nope"},
      {"/filters/0/kernel_size", {3}},
      {"/filters/0/stride", {0, 1}},
      {"/filters/0/groups", 3},
      {"/filters/0/output_channels", 7},
      {"/filters/0/weight", "unlisted.f32"},
  };
  for (const auto& [pointer, value] : cases) {
    json document = WithBundleData();
    document[json::json_pointer(pointer)] = value;
    EXPECT_THAT(ErrorOf(document), HasSubstr(pointer.substr(1, 6))) << pointer << " = " << value;
  }
}

// A transformer's: prefix tokens of layer "late", two vectors, and the classifier on one of them.
json Transformer() {
  json document = GoodManifest();
  document["layers"][1]["prefix_tokens"] = 5;
  document["layers"][1]["class_token"] = true;
  document["vectors"] = {{{"name", "embedding"}, {"dimensions", 12}},
                         {{"name", "vlad"}, {"dimensions", 3}}};
  document["classifier"].erase("layer");
  document["classifier"]["vector"] = "embedding";
  return document;
}

TEST(Manifest, TokensAndVectorsAreRead) {
  absl::StatusOr<Manifest> m = ParseManifest(Transformer().dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->layers[0].prefix_tokens, 0);
  EXPECT_FALSE(m->layers[0].class_token);
  EXPECT_EQ(m->layers[1].prefix_tokens, 5);
  EXPECT_TRUE(m->layers[1].class_token);
  ASSERT_EQ(m->vectors.size(), 2u);
  EXPECT_EQ(m->FindVector("vlad"), &m->vectors[1]);
  EXPECT_EQ(m->FindVector("late"), nullptr);
  EXPECT_EQ(m->vectors[1].dimensions, 3);
  EXPECT_EQ(m->classifier.vector, "embedding");
  EXPECT_EQ(m->classifier.layer, "");
  m = ParseManifest(GoodManifest().dump());
  EXPECT_EQ(m->layers[1].prefix_tokens, 0);
  EXPECT_TRUE(m->vectors.empty());
  EXPECT_EQ(m->classifier.vector, "");
}

TEST(Manifest, AProjectionMayStandOnAVector) {
  json document = WithBundleData();
  document["vectors"] = {{{"name", "embedding"}, {"dimensions", 10}}};
  document["projections"][0].erase("layer");
  document["projections"][0]["vector"] = "embedding";
  const absl::StatusOr<Manifest> m = ParseManifest(document.dump());
  ASSERT_TRUE(m.ok()) << m.status();
  EXPECT_EQ(m->projections[0].vector, "embedding");
  EXPECT_EQ(m->projections[0].layer, "");
}

TEST(Manifest, BadTokensAndVectorsAreNamed) {
  const std::vector<std::pair<std::string, json>> cases = {
      {"/layers/1/prefix_tokens", -1},   {"/layers/1/prefix_tokens", 1025},
      {"/layers/1/class_token", 1},      {"/vectors", json::array()},
      {"/vectors/0/name", "em bedding"}, {"/vectors/1/name", "embedding"},
      {"/vectors/0/dimensions", 0},      {"/classifier/vector", "nope"},
  };
  for (const auto& [pointer, value] : cases) {
    json document = Transformer();
    document[json::json_pointer(pointer)] = value;
    EXPECT_NE(ErrorOf(document), "no error") << pointer << " = " << value;
  }
  json document = Transformer();
  document["classifier"]["layer"] = "late";
  EXPECT_THAT(ErrorOf(document), HasSubstr("$.classifier.layer: must not be there beside vector"));
  document = Transformer();
  document["layers"][1].erase("prefix_tokens");
  EXPECT_THAT(ErrorOf(document), HasSubstr("$.layers[1].class_token: is true, but prefix_tokens, "
                                           "which counts it, is 0"));
  document = GoodManifest();
  document["classifier"]["vector"] = "embedding";
  EXPECT_THAT(ErrorOf(document),
              HasSubstr("$.classifier.vector: 'embedding' is not one of $.vectors"));
}

}  // namespace
}  // namespace pixpool
