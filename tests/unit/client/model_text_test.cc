#include "client/cli/model_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::Model Sample() {
  v1::Model m;
  m.set_name("net");
  m.set_version("1");
  m.set_state(v1::MODEL_STATE_READY);
  m.set_engine("torchscript");
  m.set_device("cpu");
  m.set_precision("float32");
  m.mutable_input_recipe()->set_resize(v1::RESIZE_MODE_SHORTER_SIDE);
  m.mutable_input_recipe()->set_resize_size_px(256);
  m.mutable_input_recipe()->set_interpolation("bicubic");
  m.mutable_input_recipe()->set_crop(v1::CROP_MODE_CENTER);
  m.mutable_input_recipe()->set_input_height_px(224);
  m.mutable_input_recipe()->set_input_width_px(224);
  v1::Layer& layer = *m.add_layers();
  layer.set_name("last");
  layer.set_channel_count(1280);
  layer.set_stride_px(32);
  m.set_default_layer("last");
  m.set_class_count(1000);
  m.set_classifier_layer("last");
  v1::HeadType& gem = *m.add_head_types();
  gem.set_name("gem");
  gem.set_description("Generalised mean.");
  gem.set_default_value_count(1280);
  v1::HeadParameter& p = *gem.add_parameters();
  p.set_name("p");
  p.set_type("float");
  p.set_default_value("3");
  p.set_range("(0, 100]");
  m.mutable_limits()->set_max_images_per_request(32);
  return m;
}

TEST(ModelTextTest, ShowsLayersHeadsRecipeAndLimits) {
  const std::string text = ModelText(Sample(), Style{});
  EXPECT_THAT(text, HasSubstr("net  version 1"));
  EXPECT_THAT(text, HasSubstr("torchscript on cpu, float32"));
  EXPECT_THAT(text, HasSubstr("shorter side to 256 px (bicubic), centre crop, input 224 x 224 px"));
  EXPECT_THAT(text, HasSubstr("last (default) |     1280 |  32 px | any sign"));
  EXPECT_THAT(text, HasSubstr("p (float): (0, 100], default 3"));
  EXPECT_THAT(text, HasSubstr("images in a request"));
  EXPECT_THAT(text, HasSubstr("1000, from layer last"));
}

TEST(ModelTextTest, ShowsWhatAnExactResizeIsTo) {
  v1::Model m = Sample();
  m.mutable_input_recipe()->set_resize(v1::RESIZE_MODE_EXACT);
  m.mutable_input_recipe()->set_resize_height_px(240);
  m.mutable_input_recipe()->set_resize_width_px(248);
  EXPECT_THAT(ModelText(m, Style{}),
              HasSubstr("resize to 240 x 248 px (bicubic), centre crop, input 224 x 224 px"));
}

TEST(ModelTextTest, ShowsThatPicturesLoseTheirColors) {
  v1::Model m = Sample();
  m.mutable_input_recipe()->set_color("rgb");
  EXPECT_THAT(ModelText(m, Style{}), Not(HasSubstr("grey")));
  m.mutable_input_recipe()->set_color("grey");
  EXPECT_THAT(ModelText(m, Style{}), HasSubstr("grey, shorter side to"));
}

TEST(ModelTextTest, ShowsTheSizesThatTheNetworkTakes) {
  v1::Model m = Sample();
  EXPECT_THAT(ModelText(m, Style{}), Not(HasSubstr("takes")));
  m.mutable_input_recipe()->set_size_multiple_px(32);
  EXPECT_THAT(ModelText(m, Style{}), HasSubstr("input 224 x 224 px, takes multiples of 32 px"));
  v1::InputSize& size = *m.mutable_input_recipe()->add_sizes();
  size.set_height_px(224);
  size.set_width_px(160);
  EXPECT_THAT(ModelText(m, Style{}), HasSubstr("takes 224 x 160 px alone"));
}

TEST(ModelTextTest, ShowsProjectionsFiltersAndRemarks) {
  v1::Model m = Sample();
  EXPECT_THAT(ModelText(m, Style{}), Not(HasSubstr("projection")));
  EXPECT_THAT(ModelText(m, Style{}), Not(HasSubstr("filter")));
  m.add_warnings("layer stem has negative values");
  v1::Projection& p = *m.add_projections();
  p.set_name("whiten512");
  p.set_layer("last");
  p.set_head_kind("gem");
  p.set_input_dimension_count(1280);
  p.set_output_dimension_count(512);
  p.set_picture_count(1000);
  p.set_explained_variance(0.934f);
  v1::ConvFilter& f = *m.add_filters();
  f.set_name("learnt");
  f.set_layer("last");
  for (const int side : {3, 5}) f.add_kernel_size(side);
  for (const int step : {2, 1}) f.add_stride(step);
  f.set_output_channel_count(256);
  f.set_group_count(4);
  m.mutable_limits()->set_max_head_operations(123456789012);
  const std::string text = ModelText(m, Style{});
  EXPECT_THAT(text, HasSubstr("| note    | layer stem has negative values"));
  EXPECT_THAT(text, HasSubstr("| projection | layer | fitted on |  dimensions | pictures | "
                              "variance kept |"));
  EXPECT_THAT(text, HasSubstr("| whiten512  | last  | gem       | 1280 to 512 |     1000 | "
                              "       93.4 % |"));
  EXPECT_THAT(text, HasSubstr("| filter | layer | kernel | stride | channels out | groups |"));
  EXPECT_THAT(text, HasSubstr("| learnt | last  | 3 x 5  | 2 x 1  |          256 |      4 |"));
  EXPECT_THAT(text, HasSubstr("123456789012 |"));
}

TEST(ModelTextTest, ShowsTokensAndVectorsWhereThereAreAny) {
  v1::Model m = Sample();
  EXPECT_THAT(ModelText(m, Style{}), Not(HasSubstr("token")));
  EXPECT_THAT(ModelText(m, Style{}), Not(HasSubstr("vector")));
  v1::Layer& block = *m.add_layers();
  block.set_name("block11");
  block.set_channel_count(384);
  block.set_stride_px(14);
  block.set_prefix_token_count(5);
  block.set_has_class_token(true);
  v1::Layer& registers = *m.add_layers();
  registers.set_name("no_class");
  registers.set_prefix_token_count(1);
  for (const auto& [name, size] : {std::pair("embedding", 384), std::pair("vlad", 4096)}) {
    v1::Vector& vector = *m.add_vectors();
    vector.set_name(name);
    vector.set_dimension_count(size);
  }
  m.clear_classifier_layer();
  m.set_classifier_vector("embedding");
  v1::Projection& p = *m.add_projections();
  p.set_name("whiten");
  p.set_vector("embedding");
  const std::string text = ModelText(m, Style{});
  EXPECT_THAT(text, HasSubstr("last (default) |     1280 |  32 px | any sign | -"));
  EXPECT_THAT(text, HasSubstr("| class token, 4 registers |"));
  EXPECT_THAT(text, HasSubstr("| 1 register "));
  EXPECT_THAT(text, HasSubstr("| embedding |        384 | embedding "));
  EXPECT_THAT(text, HasSubstr("| vlad      |       4096 | bundle_head:name=vlad |"));
  EXPECT_THAT(text, HasSubstr("1000, from vector embedding"));
  EXPECT_THAT(text, HasSubstr("| whiten     | vector embedding |"));
}

TEST(ModelTextTest, ListHasARowAModel) {
  v1::ListModelsResponse list;
  EXPECT_EQ(ModelListText(list, Style{}), "the server holds no models\n");
  *list.add_models() = Sample();
  v1::Model& failed = *list.add_models();
  failed.set_name("bad");
  failed.set_state(v1::MODEL_STATE_FAILED);
  failed.set_state_message("golden differs");
  const std::string text = ModelListText(list, Style{});
  EXPECT_THAT(text, HasSubstr("| net   | 1       | ready"));
  EXPECT_THAT(text, HasSubstr("| bad   |         | failed: golden differs"));
}

}  // namespace
}  // namespace pixpool::cli
