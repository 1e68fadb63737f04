#include "server/kserve/request.h"

#include <gtest/gtest.h>

#include <functional>

#include "server/base/error.h"
#include "server/kserve/tensor_bytes.h"

namespace pixpool::kserve {
namespace {

constexpr int kMaxImages = 32;

PipelineOptions Options() {
  PipelineOptions options;
  options.max_images_per_request = kMaxImages;
  options.max_heads_per_request = 4;
  return options;
}

inference::ModelInferRequest Files(const std::vector<std::string>& files) {
  inference::ModelInferRequest request;
  auto* input = request.add_inputs();
  input->set_name("image");
  input->set_datatype("BYTES");
  input->add_shape(static_cast<int64_t>(files.size()));
  std::string* raw = request.add_raw_input_contents();
  for (const std::string& file : files) AppendBytes(file, raw);
  return request;
}

inference::ModelInferRequest Pixels(int64_t n, int64_t h, int64_t w, const std::string& bytes) {
  inference::ModelInferRequest request;
  auto* input = request.add_inputs();
  input->set_name("image");
  input->set_datatype("UINT8");
  for (const int64_t side : {n, h, w, int64_t{3}}) input->add_shape(side);
  if (!bytes.empty()) request.add_raw_input_contents(bytes);
  return request;
}

ErrorDetails Fault(const inference::ModelInferRequest& request) {
  const auto out = ExtractRequestFromInfer(request, Options());
  EXPECT_FALSE(out.ok());
  return GetErrorDetails(out.status()).value_or(ErrorDetails());
}

TEST(InferRequest, RawFilesAreNotCopied) {
  inference::ModelInferRequest request = Files({"one", "three"});
  request.mutable_inputs(0)->add_shape(1);
  const auto out = ExtractRequestFromInfer(request, Options());
  ASSERT_TRUE(out.ok()) << out.status();
  ASSERT_EQ(out->images.size(), 2u);
  EXPECT_EQ(out->images[1].encoded, "three");
  EXPECT_EQ(out->images[0].encoded.data(), request.raw_input_contents(0).data() + 4);
  ASSERT_EQ(out->heads.size(), 1u);
  EXPECT_EQ(out->heads[0].kind, "global_avg");
}

TEST(InferRequest, PixelsAreCutIntoImages) {
  const std::string bytes = "aaabbbcccdddeeefff";
  const inference::ModelInferRequest raw = Pixels(2, 1, 3, bytes);
  const auto out = ExtractRequestFromInfer(raw, Options());
  ASSERT_TRUE(out.ok()) << out.status();
  ASSERT_EQ(out->images.size(), 2u);
  EXPECT_EQ(out->images[1].raw, "dddeeefff");
  EXPECT_EQ(out->images[1].raw_width, 3);
  EXPECT_EQ(out->images[1].raw_height, 1);
  EXPECT_EQ(out->images[0].raw.data(), raw.raw_input_contents(0).data());

  inference::ModelInferRequest typed = Pixels(2, 1, 3, "");
  auto* values = typed.mutable_inputs(0)->mutable_contents()->mutable_uint_contents();
  for (const char c : bytes) values->Add(static_cast<uint8_t>(c));
  const auto packed = ExtractRequestFromInfer(typed, Options());
  ASSERT_TRUE(packed.ok()) << packed.status();
  EXPECT_NE(packed->owner, nullptr);
  EXPECT_EQ(packed->images[1].raw, "dddeeefff");
  (*values)[17] = 256;
  EXPECT_EQ(Fault(typed).field, "inputs[0].contents.uint_contents");
}

TEST(InferRequest, ShapesThatLieAreRefused) {
  struct Case {
    int64_t n, h, w;
    ErrorReason reason;
  };
  const Case cases[] = {
      {0, 1, 3, ErrorReason::kRequestInvalid},
      {-1, 1, 3, ErrorReason::kRequestInvalid},
      {1, 0, 3, ErrorReason::kRequestInvalid},
      {1, 1, 3, ErrorReason::kRequestInvalid},
      {2, 1, 4, ErrorReason::kRequestInvalid},
      {1, INT64_MAX, INT64_MAX, ErrorReason::kRequestInvalid},
      {2, INT32_MAX, INT32_MAX, ErrorReason::kRequestInvalid},
      {kMaxImages + 1, 1, 1, ErrorReason::kLimitExceeded},
      {INT64_MAX, 1, 1, ErrorReason::kLimitExceeded},
  };
  for (const Case& c : cases) {
    const ErrorDetails fault = Fault(Pixels(c.n, c.h, c.w, "aaabbbcccdddeeefff"));
    EXPECT_EQ(fault.field, "inputs[0].shape") << c.n << " " << c.h << " " << c.w;
    EXPECT_EQ(fault.reason, c.reason) << c.n << " " << c.h << " " << c.w;
  }
}

TEST(InferRequest, OutputsBecomeHeads) {
  inference::ModelInferRequest request = Files({"x"});
  request.add_outputs()->set_name("gem:p=4");
  auto* output = request.add_outputs();
  output->set_name("class_scores");
  (*output->mutable_parameters())["classification"].set_int64_param(7);
  (*output->mutable_parameters())["layer"].set_string_param("stage4");
  const auto out = ExtractRequestFromInfer(request, Options());
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(std::get<double>(out->heads[0].params.at("p")), 4);
  EXPECT_EQ(std::get<int64_t>(out->heads[1].params.at("top_k")), 7);
  EXPECT_EQ(out->heads[1].layer, "stage4");
}

TEST(InferRequest, OutputsAreCountedBeforeTheyAreRead) {
  inference::ModelInferRequest request = Files({"x"});
  for (int i = 0; i < 5; ++i) request.add_outputs()->set_name("no such head");
  const ErrorDetails fault = Fault(request);
  EXPECT_EQ(fault.field, "outputs");
  EXPECT_EQ(fault.reason, ErrorReason::kLimitExceeded);
}

TEST(InferRequest, FloatsOfParametersAreWhatTheyRead) {
  inference::ModelInferRequest request = Files({"x"});
  request.add_outputs()->set_name("gem");
  (*request.mutable_outputs(0)->mutable_parameters())["eps"].set_double_param(1e-6);
  (*request.mutable_outputs(0)->mutable_parameters())["p"].set_double_param(2.7182818);
  const auto out = ExtractRequestFromInfer(request, Options());
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(std::get<double>(out->heads[0].params.at("eps")), 1e-6);
  EXPECT_EQ(std::get<double>(out->heads[0].params.at("p")), 2.7182817) << "the float nearest to it";
}

TEST(InferRequest, ParametersBecomeInputOptions) {
  inference::ModelInferRequest request = Files({"x"});
  auto& parameters = *request.mutable_parameters();
  parameters["input_height_px"].set_int64_param(320);
  parameters["resize"].set_string_param("exact");
  parameters["decode"].set_string_param("SCALED");
  parameters["flip"].set_bool_param(true);
  parameters["damaged"].set_string_param("refuse");
  parameters["scales"].set_string_param("1x0.5");
  parameters["background"].set_string_param("1,2,3");
  parameters["timeout"].set_int64_param(5);
  const auto out = ExtractRequestFromInfer(request, Options());
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_EQ(out->input.height, 320);
  EXPECT_EQ(out->input.resize, ResizeMode::kExact);
  EXPECT_TRUE(out->input.scaled_decode);
  EXPECT_TRUE(out->input.flip);
  EXPECT_EQ(out->input.refuse_damaged, true);
  EXPECT_EQ(out->input.scales, (std::vector<double>{1, 0.5}));
  EXPECT_EQ(out->input.background, (std::array<uint8_t, 3>{1, 2, 3}));

  parameters["background"].set_string_param("1,2");
  EXPECT_EQ(Fault(request).field, "parameters[\"background\"]");
  parameters["background"].set_string_param("1,2,256");
  EXPECT_EQ(Fault(request).field, "parameters.background.blue");
}

TEST(InferRequest, AParameterWithoutAValueIsRefused) {
  inference::ModelInferRequest request = Files({"x"});
  request.add_outputs()->set_name("gem");
  (*request.mutable_outputs(0)->mutable_parameters())["p"].Clear();
  const ErrorDetails fault = Fault(request);
  EXPECT_EQ(fault.field, "outputs[0].parameters[\"p\"]");
  EXPECT_EQ(fault.reason, ErrorReason::kHeadInvalid);
}

}  // namespace
}  // namespace pixpool::kserve
