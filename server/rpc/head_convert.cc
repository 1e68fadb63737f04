#include "server/rpc/head_convert.h"

#include <charconv>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/rpc/not_served.h"

namespace pixpool {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// SCORE_TYPE_LOGITS of enum ScoreType is "logits": the prefix is the enum's name in upper snake
// case.
std::string EnumValueName(const EnumDescriptor& type, const EnumValueDescriptor& value) {
  std::string prefix;
  for (const char c : type.name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return absl::AsciiStrToLower(value.name().substr(prefix.size() + 1));
}

absl::StatusOr<ParamValue> EnumParam(const Message& params, const FieldDescriptor& field) {
  const int number = params.GetReflection()->GetEnumValue(params, &field);
  const EnumValueDescriptor* value = field.enum_type()->FindValueByNumber(number);
  if (value == nullptr) {
    return MakeError({.reason = ErrorReason::kHeadInvalid,
                      .field = field.name(),
                      .metadata = {{"actual", Concat(number)}}},
                     Concat(field.name(), " has the unknown value ", number));
  }
  return ParamValue(EnumValueName(*field.enum_type(), *value));
}

// 1e-6f means 1e-6, not the double nearest to that float: through the shortest decimal that gives
// the float back.
double WidenFloat(float value) {
  if (!std::isfinite(value)) return value;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value);
  double out = 0;
  std::from_chars(text, end.ptr, out);
  return out;
}

ParamValue IntListParam(const Message& params, const FieldDescriptor& field) {
  const Reflection& reflection = *params.GetReflection();
  std::vector<int64_t> values;
  for (int i = 0; i < reflection.FieldSize(params, &field); ++i) {
    values.push_back(reflection.GetRepeatedInt32(params, &field, i));
  }
  return values;
}

absl::StatusOr<ParamValue> ParamFromField(const Message& params, const FieldDescriptor& field) {
  const Reflection& reflection = *params.GetReflection();
  if (field.is_repeated()) return IntListParam(params, field);
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return ParamValue(reflection.GetBool(params, &field));
    case FieldDescriptor::CPPTYPE_INT32:
      return ParamValue(static_cast<int64_t>(reflection.GetInt32(params, &field)));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return ParamValue(WidenFloat(reflection.GetFloat(params, &field)));
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumParam(params, field);
    default:
      return ParamValue(reflection.GetString(params, &field));
  }
}

absl::StatusOr<ParamMap> ParamsFromMessage(const Message& params) {
  ParamMap out;
  std::vector<const FieldDescriptor*> set;
  params.GetReflection()->ListFields(params, &set);
  for (const FieldDescriptor* field : set) {
    PIXPOOL_ASSIGN_OR_RETURN(ParamValue value, ParamFromField(params, *field));
    out.emplace(field->name(), std::move(value));
  }
  return out;
}

absl::Status CheckPostProcessing(const v1::Head& head) {
  if (!head.projection().empty()) return NotServed("projection", "projection");
  if (head.has_dimensions()) return NotServed("dimensions", "dimensions");
  if (head.encoding() != v1::ENCODING_UNSPECIFIED && head.encoding() != v1::ENCODING_FLOAT32) {
    return NotServed("encoding", "an encoding other than FLOAT32");
  }
  return absl::OkStatus();
}

std::string_view ParamTypeName(ParamType type) {
  switch (type) {
    case ParamType::kBool:
      return "bool";
    case ParamType::kInt:
      return "int";
    case ParamType::kFloat:
      return "float";
    case ParamType::kIntList:
      return "int_list";
    case ParamType::kEnum:
      return "enum";
  }
  return "";
}

}  // namespace

absl::StatusOr<HeadRequest> HeadFromProto(const v1::Head& head) {
  const Reflection& reflection = *head.GetReflection();
  const FieldDescriptor* kind =
      reflection.GetOneofFieldDescriptor(head, v1::Head::descriptor()->FindOneofByName("kind"));
  if (kind == nullptr) {
    return MakeError({.reason = ErrorReason::kHeadInvalid, .field = "kind"},
                     "the head has no kind; set one, such as global_avg");
  }
  if (FindHeadType(kind->name()) == nullptr) {
    return NotServed(kind->name(), Concat("the head ", kind->name()));
  }
  PIXPOOL_RETURN_IF_ERROR(CheckPostProcessing(head));
  HeadRequest out{.id = head.head_id(), .kind = kind->name(), .layer = head.layer()};
  out.l2_normalized = head.l2_normalized();
  auto params = ParamsFromMessage(reflection.GetMessage(head, kind));
  if (!params.ok()) return PrependField(params.status(), kind->name());
  out.params = *std::move(params);
  return out;
}

absl::StatusOr<std::vector<HeadRequest>> HeadsFromProto(
    const google::protobuf::RepeatedPtrField<v1::Head>& heads) {
  std::vector<HeadRequest> out;
  out.reserve(static_cast<size_t>(heads.size()));
  for (int i = 0; i < heads.size(); ++i) {
    auto head = HeadFromProto(heads[i]);
    if (!head.ok()) return PrependField(head.status(), Concat("heads[", i, "]"));
    out.push_back(*std::move(head));
  }
  return out;
}

v1::HeadType HeadTypeToProto(const HeadType& type) {
  v1::HeadType out;
  out.set_name(std::string(type.name));
  out.set_description(std::string(type.description));
  for (const ParamSpec& param : type.params) {
    v1::HeadParameter* p = out.add_parameters();
    p->set_name(std::string(param.name));
    p->set_type(std::string(ParamTypeName(param.type)));
    p->set_default_value(std::string(param.default_value));
    p->set_required(param.required);
    p->set_range(param.RangeText());
  }
  return out;
}

}  // namespace pixpool
