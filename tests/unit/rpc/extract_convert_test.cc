#include "server/rpc/extract_convert.h"

#include <gtest/gtest.h>

#include "google/protobuf/descriptor.h"
#include "server/base/error.h"

namespace pixpool {
namespace {

std::string FieldOf(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  return details ? details->field : "none";
}

TEST(ExtractConvertTest, ImageBytesAreNotCopied) {
  v1::ExtractFeaturesRequest request;
  request.add_images()->set_encoded("jpeg bytes");
  request.add_images()->mutable_raw()->set_pixels("abc");
  request.mutable_images(1)->mutable_raw()->set_width_px(1);
  request.mutable_images(1)->mutable_raw()->set_height_px(1);
  const auto out = ExtractRequestFromProto(request);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->images[0].encoded.data(), request.images(0).encoded().data());
  EXPECT_FALSE(out->images[0].is_raw);
  EXPECT_EQ(out->images[1].raw.data(), request.images(1).raw().pixels().data());
  EXPECT_TRUE(out->images[1].is_raw);
  EXPECT_EQ(out->images[1].raw_width, 1);
}

TEST(ExtractConvertTest, UnsetInputOptionsStayUnset) {
  v1::ExtractFeaturesRequest request;
  const auto out = ExtractRequestFromProto(request);
  ASSERT_TRUE(out.ok());
  EXPECT_FALSE(out->input.resize.has_value());
  EXPECT_FALSE(out->input.crop.has_value());
  EXPECT_FALSE(out->input.height.has_value());
  EXPECT_TRUE(out->input.apply_exif);
  EXPECT_FALSE(out->input.scaled_decode);
  EXPECT_FALSE(out->input.background.has_value());
  EXPECT_FALSE(out->input.refuse_damaged.has_value());
}

TEST(ExtractConvertTest, InputOptionsAreTaken) {
  v1::ExtractFeaturesRequest request;
  v1::InputOptions* options = request.mutable_input_options();
  options->set_resize(v1::RESIZE_MODE_EXACT);
  options->set_crop(v1::CROP_MODE_NONE);
  options->set_input_height_px(320);
  options->set_resize_size_px(400);
  options->set_apply_exif(false);
  options->set_decode(v1::DECODE_MODE_SCALED);
  options->mutable_background()->set_red(255);
  const auto out = ExtractRequestFromProto(request);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->input.resize, ResizeMode::kExact);
  EXPECT_EQ(out->input.crop, CropMode::kNone);
  EXPECT_EQ(out->input.height, 320);
  EXPECT_FALSE(out->input.width.has_value());
  EXPECT_EQ(out->input.resize_size, 400);
  EXPECT_FALSE(out->input.apply_exif);
  EXPECT_TRUE(out->input.scaled_decode);
  EXPECT_EQ(out->input.background, (std::array<uint8_t, 3>{255, 0, 0}));
}

TEST(ExtractConvertTest, DamagedIsTaken) {
  v1::ExtractFeaturesRequest request;
  request.mutable_input_options()->set_damaged(v1::DAMAGED_MODE_REFUSE);
  EXPECT_EQ(ExtractRequestFromProto(request)->input.refuse_damaged, true);
  request.mutable_input_options()->set_damaged(v1::DAMAGED_MODE_ACCEPT);
  EXPECT_EQ(ExtractRequestFromProto(request)->input.refuse_damaged, false);
}

TEST(ExtractConvertTest, UnknownEnumValuesAreRefusedByName) {
  v1::ExtractFeaturesRequest request;
  request.mutable_input_options()->set_resize(static_cast<v1::ResizeMode>(42));
  EXPECT_EQ(FieldOf(ExtractRequestFromProto(request).status()), "input_options.resize");
  EXPECT_EQ(ExtractRequestFromProto(request).status().message(),
            "resize has the unknown value 42; set RESIZE_MODE_SHORTER_SIDE (1), RESIZE_MODE_EXACT "
            "(2) or RESIZE_MODE_NONE (3), or leave it out");
  request.mutable_input_options()->set_resize(v1::RESIZE_MODE_UNSPECIFIED);
  request.mutable_input_options()->set_crop(static_cast<v1::CropMode>(42));
  EXPECT_EQ(FieldOf(ExtractRequestFromProto(request).status()), "input_options.crop");
  request.mutable_input_options()->set_crop(v1::CROP_MODE_UNSPECIFIED);
  request.mutable_input_options()->set_decode(static_cast<v1::DecodeMode>(42));
  EXPECT_EQ(FieldOf(ExtractRequestFromProto(request).status()), "input_options.decode");
  request.mutable_input_options()->set_decode(v1::DECODE_MODE_UNSPECIFIED);
  request.mutable_input_options()->set_damaged(static_cast<v1::DamagedMode>(42));
  EXPECT_EQ(FieldOf(ExtractRequestFromProto(request).status()), "input_options.damaged");
}

// Some value of a field that is not what its absence means.
void SetSome(v1::InputOptions* options, const google::protobuf::FieldDescriptor* field) {
  const auto* r = options->GetReflection();
  switch (field->cpp_type()) {
    case google::protobuf::FieldDescriptor::CPPTYPE_BOOL:
      return r->SetBool(options, field, field->name() != "apply_exif");
    case google::protobuf::FieldDescriptor::CPPTYPE_INT32:
      return r->SetInt32(options, field, 48);
    case google::protobuf::FieldDescriptor::CPPTYPE_FLOAT:
      return r->AddFloat(options, field, 0.5f);
    case google::protobuf::FieldDescriptor::CPPTYPE_ENUM: {
      const auto* type = field->enum_type();
      return r->SetEnum(options, field, type->value(type->value_count() - 1));
    }
    case google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE:
      r->MutableMessage(options, field);
      return;
    default:
      FAIL() << field->name() << ": a type that this test does not know";
  }
}

TEST(ExtractConvertTest, EveryInputOptionIsRead) {
  const auto* type = v1::InputOptions::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    v1::InputOptions options;
    SetSome(&options, type->field(i));
    const auto out = InputOptionsFromProto(options);
    ASSERT_TRUE(out.ok()) << type->field(i)->name() << out.status();
    EXPECT_NE(*out, InputOptions()) << type->field(i)->name();
  }
}

TEST(ExtractConvertTest, RequestIdIsBounded) {
  v1::ExtractFeaturesRequest request;
  request.set_request_id(std::string(kMaxRequestIdLength, 'x'));
  EXPECT_TRUE(ExtractRequestFromProto(request).ok());
  request.set_request_id(std::string(kMaxRequestIdLength + 1, 'x'));
  EXPECT_EQ(FieldOf(ExtractRequestFromProto(request).status()), "request_id");
}

TEST(ExtractConvertTest, LongestTimesAreTakenStageByStage) {
  ExtractResult result;
  result.images.resize(2);
  const auto slot = [&result](size_t i, Stage s) -> TimeDuration& {
    return result.images[i].times[static_cast<size_t>(s)];
  };
  slot(0, Stage::kDecode) = std::chrono::milliseconds(5);
  slot(1, Stage::kDecode) = std::chrono::milliseconds(3);
  slot(1, Stage::kHeads) = std::chrono::seconds(2);
  v1::StageTimes times;
  StageTimesToProto(LongestTimes(result), &times);
  EXPECT_EQ(times.decode().nanos(), 5'000'000);
  EXPECT_EQ(times.heads().seconds(), 2);
  EXPECT_EQ(times.queue().nanos(), 0);
}

}  // namespace
}  // namespace pixpool
