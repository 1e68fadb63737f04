#include "server/rpc/model_convert.h"

#include <gtest/gtest.h>

#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

TEST(ModelConvertTest, ReadyModelIsDescribedInFull) {
  FakeRegistry fake;
  v1::Model model;
  ModelToProto(fake.registry.List()[0], PipelineOptions{.max_images_per_request = 7}, 1234, &model);
  EXPECT_EQ(model.name(), "fake");
  EXPECT_EQ(model.version(), "1");
  EXPECT_EQ(model.state(), v1::MODEL_STATE_READY);
  EXPECT_EQ(model.engine(), "fake");
  EXPECT_EQ(model.input_recipe().resize(), v1::RESIZE_MODE_NONE);
  EXPECT_EQ(model.input_recipe().interpolation(), "bicubic");
  EXPECT_EQ(model.input_recipe().sizes_size(), 0);
  EXPECT_EQ(model.input_recipe().size_multiple_px(), 1);
  EXPECT_EQ(model.layers(0).name(), "early");
  EXPECT_FALSE(model.layers(0).non_negative());
  EXPECT_EQ(model.classifier_layer(), "last");
  EXPECT_EQ(model.class_count(), 3);
  EXPECT_EQ(model.limits().max_images_per_request(), 7);
  EXPECT_EQ(model.limits().max_message_bytes(), 1234);
  EXPECT_EQ(model.limits().max_head_operations(), PipelineOptions().max_head_operations);
  ASSERT_EQ(model.warnings_size(), 1);  // of layer "early", which has negative activations
  ASSERT_EQ(model.head_types_size(), static_cast<int>(HeadTypes().size()));
  for (const v1::HeadType& type : model.head_types()) {
    bool required = false;
    for (const v1::HeadParameter& p : type.parameters()) required |= p.required();
    required |= type.name() == "conv_pool";  // one of two filters must be chosen
    EXPECT_EQ(type.default_space_id().empty(), required) << type.name();
    EXPECT_EQ(type.default_value_count() == 0, required) << type.name();
    if (type.name() == "embedding") {
      EXPECT_EQ(type.default_value_count(), 6);
    }
  }
  EXPECT_EQ(model.layers(0).prefix_token_count(), 0);
  EXPECT_FALSE(model.layers(0).has_class_token());
  EXPECT_EQ(model.layers(1).prefix_token_count(), 5);
  EXPECT_TRUE(model.layers(1).has_class_token());
  ASSERT_EQ(model.vectors_size(), 2);
  EXPECT_EQ(model.vectors(0).name(), "embedding");
  EXPECT_EQ(model.vectors(0).dimension_count(), 6);
  EXPECT_EQ(model.classifier_vector(), "");
  EXPECT_EQ(model.head_types(0).name(), "global_avg");
  EXPECT_EQ(model.head_types(0).default_value_count(), 8);
  EXPECT_EQ(model.space_id(), model.head_types(0).default_space_id());
}

TEST(ModelConvertTest, LoadingAndFailedModelsSayWhy) {
  ModelRegistry registry("");
  registry.AddLoading("a", "1");
  registry.AddLoading("b", "1");
  registry.SetFailed("b", "1", "digest differs");
  v1::Model loading, failed;
  ModelToProto(registry.List()[0], {}, 1, &loading);
  ModelToProto(registry.List()[1], {}, 1, &failed);
  EXPECT_EQ(loading.state(), v1::MODEL_STATE_LOADING);
  EXPECT_EQ(loading.layers_size(), 0);
  EXPECT_EQ(failed.state(), v1::MODEL_STATE_FAILED);
  EXPECT_EQ(failed.state_message(), "digest differs");
}

}  // namespace
}  // namespace pixpool
