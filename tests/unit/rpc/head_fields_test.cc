#include "server/rpc/head_fields.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "pixpool/v1/feature_service.pb.h"
#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using ::testing::HasSubstr;

const OneofDescriptor& Kinds() { return *v1::Head::descriptor()->FindOneofByName("kind"); }

const HeadType& TypeOf(const FieldDescriptor& kind) { return *FindHeadType(kind.name()); }

TEST(HeadFieldsTest, TableAndApiAgree) {
  const absl::Status status = CheckHeads(Kinds(), HeadTypes());
  EXPECT_TRUE(status.ok()) << status;
}

// The walk of CheckHeads once more, from the other side, so that it does not vouch for itself.
TEST(HeadFieldsTest, EveryFieldBecomesAValueOfItsParametersType) {
  ASSERT_EQ(static_cast<size_t>(Kinds().field_count()), HeadTypes().size());
  for (int i = 0; i < Kinds().field_count(); ++i) {
    const FieldDescriptor& kind = *Kinds().field(i);
    ASSERT_NE(FindHeadType(kind.name()), nullptr) << kind.name();
    ASSERT_EQ(static_cast<size_t>(kind.message_type()->field_count()), TypeOf(kind).params.size())
        << kind.name();
    for (const ParamSpec& param : TypeOf(kind).params) {
      const FieldDescriptor* field = kind.message_type()->FindFieldByName(std::string(param.name));
      ASSERT_NE(field, nullptr) << kind.name() << "." << param.name;
      EXPECT_EQ(ParamTypeOf(*field), param.type) << kind.name() << "." << param.name;
    }
  }
}

// A field of a message that no .proto file has.
struct Field {
  std::string name;
  FieldDescriptorProto::Type type;
  bool repeated = false;
};

// Head { oneof kind { Odd odd = 1; } } with an Odd of the given fields, and an enum Way.
class MadeUpHead {
 public:
  explicit MadeUpHead(const std::vector<Field>& fields) {
    google::protobuf::FileDescriptorProto file;
    file.set_name("made_up.proto");
    file.set_syntax("proto3");
    auto* way = file.add_enum_type();
    way->set_name("Way");
    int number = 0;
    for (const char* name : {"WAY_UNSPECIFIED", "WAY_UP", "WAY_DOWN"}) {
      way->add_value()->set_name(name);
      way->mutable_value(number)->set_number(number);
      ++number;
    }
    auto* odd = file.add_message_type();
    odd->set_name("Odd");
    for (const Field& field : fields) AddField(field, odd);
    auto* head = file.add_message_type();
    head->set_name("Head");
    head->add_oneof_decl()->set_name("kind");
    AddField({"odd", FieldDescriptorProto::TYPE_MESSAGE}, head);
    head->mutable_field(0)->set_oneof_index(0);
    file_ = pool_.BuildFile(file);
    message_.reset(factory_.GetPrototype(file_->FindMessageTypeByName("Odd"))->New());
  }

  const OneofDescriptor& kinds() const {
    return *file_->FindMessageTypeByName("Head")->FindOneofByName("kind");
  }
  Message& message() { return *message_; }
  const FieldDescriptor* field(const std::string& name) const {
    return message_->GetDescriptor()->FindFieldByName(name);
  }

 private:
  static void AddField(const Field& field, google::protobuf::DescriptorProto* message) {
    FieldDescriptorProto* out = message->add_field();
    out->set_name(field.name);
    out->set_number(message->field_size());
    out->set_type(field.type);
    out->set_label(field.repeated ? FieldDescriptorProto::LABEL_REPEATED
                                  : FieldDescriptorProto::LABEL_OPTIONAL);
    if (field.type == FieldDescriptorProto::TYPE_ENUM) out->set_type_name("Way");
    if (field.type == FieldDescriptorProto::TYPE_MESSAGE) out->set_type_name("Odd");
  }

  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_{&pool_};
  const google::protobuf::FileDescriptor* file_ = nullptr;
  std::unique_ptr<Message> message_;
};

TEST(HeadFieldsTest, WiderNumbersAreTaken) {
  MadeUpHead head({{"big", FieldDescriptorProto::TYPE_INT64},
                   {"natural", FieldDescriptorProto::TYPE_UINT32},
                   {"exact", FieldDescriptorProto::TYPE_DOUBLE},
                   {"bigs", FieldDescriptorProto::TYPE_INT64, true},
                   {"naturals", FieldDescriptorProto::TYPE_UINT32, true}});
  Message& message = head.message();
  const auto& r = *message.GetReflection();
  r.SetInt64(&message, head.field("big"), int64_t{1} << 40);
  r.SetUInt32(&message, head.field("natural"), UINT32_MAX);
  r.SetDouble(&message, head.field("exact"), 0.1);
  r.AddInt64(&message, head.field("bigs"), int64_t{-1} << 40);
  r.AddUInt32(&message, head.field("naturals"), UINT32_MAX);
  const auto params = ParamsFromMessage(message);
  ASSERT_TRUE(params.ok()) << params.status();
  EXPECT_EQ(params->at("big"), ParamValue(int64_t{1} << 40));
  EXPECT_EQ(params->at("natural"), ParamValue(int64_t{UINT32_MAX}));
  EXPECT_EQ(params->at("exact"), ParamValue(0.1));
  EXPECT_EQ(params->at("bigs"), ParamValue(std::vector<int64_t>{int64_t{-1} << 40}));
  EXPECT_EQ(params->at("naturals"), ParamValue(std::vector<int64_t>{UINT32_MAX}));
}

// Field 1 with some value other than the default, as it travels.
std::string Wire(FieldDescriptorProto::Type type) {
  switch (type) {
    case FieldDescriptorProto::TYPE_DOUBLE:
    case FieldDescriptorProto::TYPE_FIXED64:
    case FieldDescriptorProto::TYPE_SFIXED64:
      return {"\x09\0\0\0\0\0\0\xf0\x3f", 9};
    case FieldDescriptorProto::TYPE_FLOAT:
    case FieldDescriptorProto::TYPE_FIXED32:
    case FieldDescriptorProto::TYPE_SFIXED32:
      return {"\x0d\0\0\x80\x3f", 5};
    case FieldDescriptorProto::TYPE_STRING:
    case FieldDescriptorProto::TYPE_BYTES:
      return {"\x0a\x01\x61", 3};
    case FieldDescriptorProto::TYPE_MESSAGE:
      return {"\x0a\x00", 2};
    default:
      return {"\x08\x01", 2};
  }
}

// Every type of protobuf and lists of each: a value, or an error that names the field. Reading one
// as the wrong type would end the process.
TEST(HeadFieldsTest, NoFieldEndsTheProcess) {
  for (int t = FieldDescriptorProto::Type_MIN; t <= FieldDescriptorProto::Type_MAX; ++t) {
    const auto type = static_cast<FieldDescriptorProto::Type>(t);
    if (type == FieldDescriptorProto::TYPE_GROUP) continue;  // not in proto3
    for (const bool repeated : {false, true}) {
      MadeUpHead head({{"value", type, repeated}});
      const FieldDescriptor* field = head.field("value");
      ASSERT_TRUE(head.message().ParseFromString(Wire(type)));
      const auto params = ParamsFromMessage(head.message());
      ASSERT_EQ(params.ok(), ParamTypeOf(*field).has_value()) << field->DebugString();
      if (params.ok()) {
        EXPECT_TRUE(params->contains("value")) << field->DebugString();
        continue;
      }
      EXPECT_EQ(GetErrorDetails(params.status())->reason, ErrorReason::kNotImplemented);
      EXPECT_EQ(GetErrorDetails(params.status())->field, "value");
    }
  }
}

TEST(HeadFieldsTest, AListOfFloatsIsAnErrorAndNoAbort) {
  MadeUpHead head({{"weights", FieldDescriptorProto::TYPE_FLOAT, true}});
  head.message().GetReflection()->AddFloat(&head.message(), head.field("weights"), 0.5f);
  const auto params = ParamsFromMessage(head.message());
  ASSERT_FALSE(params.ok());
  EXPECT_EQ(params.status().message(),
            "weights is a repeated float, which this version of the server does not read");
}

std::string Complaint(const std::vector<Field>& fields, const std::vector<HeadType>& types) {
  return std::string(ToStd(CheckHeads(MadeUpHead(fields).kinds(), types).message()));
}

HeadType Odd(std::vector<ParamSpec> params) {
  HeadType type{};
  type.name = "odd";
  type.params = std::move(params);
  return type;
}

TEST(HeadFieldsTest, WhatTableAndApiDisagreeOnIsNamed) {
  const Field whole{"n", FieldDescriptorProto::TYPE_INT32};
  const Field way{"way", FieldDescriptorProto::TYPE_ENUM};
  const ParamSpec n{.name = "n", .type = ParamType::kInt};
  EXPECT_EQ(Complaint({whole}, {Odd({n})}), "");
  EXPECT_THAT(Complaint({whole}, {}), HasSubstr("head \"odd\": a kind of the API that is not in"));
  HeadType other = Odd({});
  other.name = "even";
  EXPECT_EQ(Complaint({whole}, {Odd({n}), other}), "head \"even\": the API has no such kind");
  EXPECT_THAT(Complaint({whole}, {Odd({})}), HasSubstr("field \"n\" of the API is not in"));
  EXPECT_EQ(Complaint({}, {Odd({n})}), "head \"odd\": the API has no field \"n\"");
  EXPECT_EQ(Complaint({{"n", FieldDescriptorProto::TYPE_FLOAT, true}}, {Odd({n})}),
            "head \"odd\": field \"n\" of the API is a repeated float, which the parameter of that "
            "name cannot hold");
  const auto way_of = [](std::string_view values) {
    return Odd({{.name = "way", .type = ParamType::kEnum, .enum_values = values}});
  };
  EXPECT_EQ(Complaint({way}, {way_of("up|down")}), "");
  EXPECT_EQ(Complaint({way}, {way_of("up")}),
            "head \"odd\": field \"way\" of the API has the values up|down, the table up");
}

}  // namespace
}  // namespace pixpool
