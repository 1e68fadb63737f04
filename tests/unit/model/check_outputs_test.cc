#include "server/model/check_outputs.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace pixpool {
namespace {

ModelInfo Info() {
  return {.layers = {{.name = "stem", .channels = 3, .stride = 4},
                     {.name = "block", .channels = 6, .stride = 8, .prefix_tokens = 2}},
          .vectors = {{"embedding", 5}}};
}

// What a right graph gives for two pictures of 32 x 48 pixels.
std::vector<at::Tensor> Good() {
  return {at::zeros({2, 3, 8, 12}), at::zeros({2, 6, 4, 6}), at::zeros({2, 2, 6}),
          at::zeros({2, 5})};
}

std::string ErrorOf(const std::vector<at::Tensor>& outputs,
                    const std::vector<int>& wanted = {0, 1, 2, 3}) {
  const at::Tensor inputs = at::zeros({2, 32, 48, 3}, at::kByte);
  return std::string(CheckOutputs(Info(), outputs, wanted, inputs).message());
}

TEST(CheckOutputs, WhatTheManifestSaysIsTaken) {
  EXPECT_EQ(ErrorOf(Good()), "");
  std::vector<at::Tensor> outputs = Good();
  outputs[0] = at::Tensor();  // not asked for
  EXPECT_EQ(ErrorOf(outputs, {1, 2, 3}), "");
  EXPECT_EQ(ErrorOf(outputs), "layer 'stem' is no map of float32");
}

TEST(CheckOutputs, OtherShapesAreNamed) {
  std::vector<at::Tensor> outputs = Good();
  outputs[1] = at::zeros({2, 8, 4, 6});
  EXPECT_EQ(ErrorOf(outputs),
            "layer 'block' has shape [2, 8, 4, 6], the manifest says [2, 6, height, width] and a "
            "stride of 8");
  outputs = Good();
  outputs[2] = at::zeros({2, 6, 2});
  EXPECT_EQ(ErrorOf(outputs),
            "the prefix tokens of layer 'block' have shape [2, 6, 2], the manifest says [2, 2, 6]");
  outputs[2] = at::zeros({1, 2, 6});
  EXPECT_EQ(ErrorOf(outputs),
            "the prefix tokens of layer 'block' have shape [1, 2, 6], the manifest says [2, 2, 6]");
  outputs = Good();
  outputs[3] = at::zeros({2, 5, 1, 1});
  EXPECT_EQ(ErrorOf(outputs),
            "vector 'embedding' has shape [2, 5, 1, 1], the manifest says [2, 5]");
  outputs[3] = at::zeros({2, 5}, at::kDouble);
  EXPECT_EQ(ErrorOf(outputs), "vector 'embedding' is no tensor of float32");
}

TEST(CheckOutputs, AnotherNumberIsToldApart) {
  std::vector<at::Tensor> outputs = Good();
  outputs.pop_back();
  EXPECT_EQ(
      ErrorOf(outputs),
      "the graph gives 3 outputs, the manifest has maps of 2 layers, prefix tokens of 1 and 1 "
      "vector");
}

TEST(CheckFinite, NamesTheOutput) {
  EXPECT_TRUE(CheckFinite(Info(), Good()).ok());
  std::vector<at::Tensor> outputs = Good();
  outputs[2] = at::full({2, 2, 6}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(CheckFinite(Info(), outputs).message(),
            "the prefix tokens of layer 'block' have values that are not finite on a grey picture");
}

}  // namespace
}  // namespace pixpool
