#include "server/bundle/stump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

using ::testing::HasSubstr;

constexpr char kConvolution[] = R"(<layer id="7" name="Convolution_7" type="Convolution">)";

// What earlier exporters wrote of a vision transformer.
class StumpTest : public testing::Test {
 protected:
  StumpTest() {
    bundle_.dir = temp_.path().string();
    bundle_.manifest.layers = {{.name = "features", .channels = 192, .stride = 16}};
    bundle_.manifest.engines = {
        {.engine = "torchscript", .precision = "float32", .path = "backbone.ts"},
        {.engine = "openvino", .precision = "float32", .path = "backbone.xml"}};
    SetGraph(kConvolution);
  }

  void SetGraph(const std::string& layers) {
    WriteFile(temp_.path() / "backbone.xml", "<net>" + layers + "</net>");
  }

  TempDir temp_;
  Bundle bundle_;
};

TEST_F(StumpTest, PatchEmbeddingAloneIsRefused) {
  const absl::Status status = RefuseStump(bundle_);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("one convolution of stride 16, the patch embedding of a transformer"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("export it again"));
}

TEST_F(StumpTest, WhatSaysWhatItHoldsIsTaken) {
  bundle_.manifest.states_parameters = true;
  EXPECT_TRUE(RefuseStump(bundle_).ok());
}

TEST_F(StumpTest, MoreThanOneOperationWithWeightsIsTaken) {
  for (const char* type : {"Convolution", "GroupConvolution", "MatMul"}) {
    SetGraph(std::string(kConvolution) + R"(<layer id="9" name="x" type=")" + type + R"(">)");
    EXPECT_TRUE(RefuseStump(bundle_).ok()) << type;
  }
}

TEST_F(StumpTest, OtherLayersAreTaken) {
  LayerInfo& layer = bundle_.manifest.layers.front();
  layer.name = "patches";  // what somebody asked for
  EXPECT_TRUE(RefuseStump(bundle_).ok());
  layer.name = "features";
  layer.stride = 4;
  EXPECT_TRUE(RefuseStump(bundle_).ok());
  layer.stride = 8;
  EXPECT_FALSE(RefuseStump(bundle_).ok());
  bundle_.manifest.layers.push_back(layer);
  EXPECT_TRUE(RefuseStump(bundle_).ok());
}

TEST_F(StumpTest, FilesOfOtherSourcesAreTaken) {
  std::vector<EngineFile>& engines = bundle_.manifest.engines;
  engines.erase(engines.begin());  // made from an ONNX file, whose layers were checked
  EXPECT_TRUE(RefuseStump(bundle_).ok());
}

}  // namespace
}  // namespace pixpool
