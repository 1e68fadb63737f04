// Loading real TorchScript bundles.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <iterator>

#include "server/model/model.h"
#include "server/torch/torch_env.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

ModelOptions Cpu() {
  ModelOptions options;
  options.device = "cpu";
  return options;
}

TEST(LoadModel, DescribesTheModel) {
  const auto bundle = OpenBundle(TinyBundleDir().string());
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  ModelOptions options = Cpu();
  options.instances = 3;
  const auto model = LoadModel(*bundle, options);
  ASSERT_TRUE(model.ok()) << model.status();
  const ModelInfo& info = (*model)->info();
  EXPECT_EQ(info.name, "tiny");
  EXPECT_EQ(info.version, "1");
  EXPECT_EQ(info.license, "CC0-1.0");
  EXPECT_EQ(info.engine, "torchscript");
  EXPECT_EQ(info.device, "cpu");
  EXPECT_EQ(info.precision, "float32");
  EXPECT_EQ(info.default_layer, "late");
  EXPECT_EQ(info.classifier_layer, "late");
  EXPECT_EQ(info.class_count, 7);
  EXPECT_EQ(info.labels.size(), 7u);
  EXPECT_EQ(info.labels[2], "cat");
  EXPECT_EQ(info.layers.size(), 2u);
  EXPECT_EQ((*model)->instance_count(), 3);
}

// A copy of the tiny bundle with one thing wrong that digests do not show.
class BrokenBundle : public testing::Test {
 protected:
  BrokenBundle()
      : dir_(CopyTinyBundle(temp_.path())),
        manifest_(json::parse(ReadFile(dir_ / "manifest.json"))) {}

  std::string LoadError(const ModelOptions& options = Cpu()) {
    WriteFile(dir_ / "manifest.json", manifest_.dump());
    RefreshDigests(dir_);
    const auto bundle = OpenBundle(dir_.string());
    EXPECT_TRUE(bundle.ok()) << bundle.status();
    if (!bundle.ok()) return "";
    const absl::Status status = LoadModel(*bundle, options).status();
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  }

  TempDir temp_;
  fs::path dir_;
  json manifest_;
};

TEST_F(BrokenBundle, GraphThatIsNotOne) {
  WriteFile(dir_ / "backbone.ts", "not a TorchScript file");
  EXPECT_THAT(LoadError(), HasSubstr("cannot be loaded"));
}

TEST_F(BrokenBundle, OtherChannels) {
  manifest_["layers"][0]["channels"] = 8;
  EXPECT_THAT(LoadError(),
              HasSubstr("layer 'early' has shape [1, 6, 8, 8], the manifest says [1, 8"));
}

TEST_F(BrokenBundle, OtherNumberOfLayers) {
  manifest_["layers"].push_back(
      {{"name", "third"}, {"channels", 3}, {"stride", 8}, {"non_negative", true}});
  EXPECT_THAT(LoadError(), HasSubstr("gives 2 maps, the manifest has 3 layers"));
}

TEST_F(BrokenBundle, ClassifierOfAnotherSize) {
  manifest_["classifier"]["class_count"] = 8;
  EXPECT_THAT(LoadError(), HasSubstr("labels.txt' has 7 labels for 8 classes"));
  manifest_["classifier"].erase("labels");
  EXPECT_THAT(LoadError(), HasSubstr("classifier.weight.f32' has 280 bytes"));
}

TEST_F(BrokenBundle, EngineThatIsNotThere) {
  manifest_["engines"][0]["engine"] = "abacus";
  EXPECT_THAT(LoadError(), HasSubstr("the bundle holds abacus float32; this server runs "));
}

TEST_F(BrokenBundle, PrecisionThatIsNotThere) {
  ModelOptions options = Cpu();
  options.precision = "int8";
  EXPECT_THAT(LoadError(options), HasSubstr("no backbone for engine 'auto' and precision 'int8'"));
}

TEST_F(BrokenBundle, UnknownEngineOrDeviceIsAsked) {
  ModelOptions options = Cpu();
  options.engine = "onnx";
  EXPECT_THAT(LoadError(options), HasSubstr("no backbone for engine 'onnx'"));
  options = Cpu();
  options.device = "cuda:999";
  EXPECT_THAT(LoadError(options), HasSubstr("'cuda:999' is not there"));
}

// A bundle that holds a compiled package besides the TorchScript graph.
class PackageInBundle : public BrokenBundle {
 protected:
  PackageInBundle() {
    setenv("TMPDIR", temp_.path().c_str(), 1);
    WriteFile(dir_ / "backbone.pt2", "not a package");
    manifest_["files"].push_back({{"path", "backbone.pt2"}, {"sha256", ""}});
    const json entry = {{"engine", "aotinductor"},
                        {"precision", "float32"},
                        {"path", "backbone.pt2"},
                        {"device", "cpu"}};
    manifest_["engines"].insert(manifest_["engines"].begin(), entry);
  }
  ~PackageInBundle() override { unsetenv("TMPDIR"); }

  json& entry() { return manifest_["engines"][0]; }

  static ModelOptions Asked() {
    ModelOptions options = Cpu();
    options.engine = "aotinductor";
    return options;
  }

  // What loading has left behind, besides the bundle itself.
  int Remains() const {
    return static_cast<int>(std::distance(fs::directory_iterator(temp_.path()), {})) - 1;
  }
};

TEST_F(PackageInBundle, IsNotTakenUnasked) {
  WriteFile(dir_ / "manifest.json", manifest_.dump());
  RefreshDigests(dir_);
  const auto bundle = OpenBundle(dir_.string());
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  const auto model = LoadModel(*bundle, Cpu());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->info().engine, "torchscript");
}

TEST_F(PackageInBundle, ThatIsNotOne) {
  EXPECT_THAT(LoadError(Asked()), HasSubstr("backbone.pt2 cannot be loaded"));
  EXPECT_EQ(Remains(), 0);
}

TEST_F(PackageInBundle, WithoutACompiledModel) {
  fs::copy(dir_ / "backbone.ts", dir_ / "backbone.pt2", fs::copy_options::overwrite_existing);
  EXPECT_THAT(LoadError(Asked()), HasSubstr("cannot be loaded: it holds no compiled model"));
  EXPECT_EQ(Remains(), 0);
}

TEST_F(PackageInBundle, ForAnotherInstructionSet) {
  entry()["instruction_set"] = "x86-64-v9";
  EXPECT_THAT(LoadError(Asked()),
              HasSubstr("is compiled for x86-64-v9, which this CPU does not run"));
}

TEST_F(PackageInBundle, ForAnotherDevice) {
  entry()["device"] = "cuda";
  EXPECT_THAT(LoadError(Asked()),
              HasSubstr("no backbone for engine 'aotinductor' and precision 'auto' on device "
                        "'cpu': the bundle holds aotinductor float32 for cuda, torchscript"));
}

TEST_F(PackageInBundle, ThatCannotBeUnpacked) {
  setenv("TMPDIR", (temp_.path() / "not" / "there").c_str(), 1);
  EXPECT_THAT(LoadError(Asked()), HasSubstr("cannot be loaded"));
}

TEST(LoadModel, RunsOnCudaAsOnTheCpu) {
  if (!ResolveDevice("cuda").ok()) GTEST_SKIP() << ResolveDevice("cuda").status();
  const auto bundle = OpenBundle(TinyBundleDir().string());
  ModelOptions options;
  options.device = "cuda";
  const auto cuda = LoadModel(*bundle, options);  // the golden check is a comparison with PyTorch
  ASSERT_TRUE(cuda.ok()) << cuda.status();
  EXPECT_EQ((*cuda)->info().device, "cuda:0");
  const auto cpu = LoadModel(*bundle, Cpu());
  const Image picture = NoisePicture(32, 32, 1);
  std::vector<HeadSpec> heads;
  for (const HeadType& type : HeadTypes()) {
    if (!HeadFits(type, TestScope())) continue;
    heads.push_back(MakeHead(std::string(type.name), RequiredParams(type)));
  }
  const ModelTask task{&picture, heads};
  ModelResult a;
  ModelResult b;
  ModelRunTimes times;
  (*cuda)->EnterInstanceThread(0);
  (*cuda)->RunBatch({}, {&task, 1}, {&a, 1}, &times);
  (*cpu)->RunBatch({}, {&task, 1}, {&b, 1}, &times);
  ASSERT_TRUE(a.status.ok()) << a.status;
  for (size_t i = 0; i < heads.size(); ++i) {
    ASSERT_EQ(a.outputs[i].values.size(), b.outputs[i].values.size());
    for (size_t k = 0; k < a.outputs[i].values.size(); ++k) {
      EXPECT_NEAR(a.outputs[i].values[k], b.outputs[i].values[k], 2e-3) << heads[i].canonical;
    }
    ASSERT_EQ(a.outputs[i].scores.size(), b.outputs[i].scores.size());
    if (!a.outputs[i].scores.empty()) {
      EXPECT_EQ(a.outputs[i].scores[0].class_index, b.outputs[i].scores[0].class_index);
    }
  }
}

}  // namespace
}  // namespace pixpool
