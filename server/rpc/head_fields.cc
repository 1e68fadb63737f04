#include "server/rpc/head_fields.h"

#include <charconv>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/rpc/enum_values.h"

namespace pixpool {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

// SCORE_TYPE_LOGITS of enum ScoreType is "logits": the prefix is the enum's name in upper snake
// case.
std::string EnumValueName(const EnumDescriptor& type, const EnumValueDescriptor& value) {
  std::string prefix;
  for (const char c : type.name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return absl::AsciiStrToLower(absl::StripPrefix(value.name(), prefix + "_"));
}

absl::StatusOr<ParamValue> EnumParam(const Message& params, const FieldDescriptor& field) {
  const int number = params.GetReflection()->GetEnumValue(params, &field);
  const EnumValueDescriptor* value = field.enum_type()->FindValueByNumber(number);
  if (value == nullptr) {
    return MakeError({.reason = ErrorReason::kHeadInvalid,
                      .field = field.name(),
                      .metadata = {{"actual", Concat(number)}}},
                     UnknownValue(field.name(), *field.enum_type(), number));
  }
  return ParamValue(EnumValueName(*field.enum_type(), *value));
}

int64_t IntParam(const Message& params, const FieldDescriptor& field) {
  const Reflection& reflection = *params.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.GetInt64(params, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetUInt32(params, &field);
    default:
      return reflection.GetInt32(params, &field);
  }
}

std::vector<int64_t> IntListParam(const Message& params, const FieldDescriptor& field) {
  const Reflection& reflection = *params.GetReflection();
  std::vector<int64_t> values;
  for (int i = 0; i < reflection.FieldSize(params, &field); ++i) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT64:
        values.push_back(reflection.GetRepeatedInt64(params, &field, i));
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        values.push_back(reflection.GetRepeatedUInt32(params, &field, i));
        break;
      default:
        values.push_back(reflection.GetRepeatedInt32(params, &field, i));
    }
  }
  return values;
}

double FloatParam(const Message& params, const FieldDescriptor& field) {
  const Reflection& reflection = *params.GetReflection();
  return field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE
             ? reflection.GetDouble(params, &field)
             : WidenFloat(reflection.GetFloat(params, &field));
}

// "repeated float".
std::string TypeText(const FieldDescriptor& field) {
  return Concat(field.is_repeated() ? "repeated " : "", field.type_name());
}

absl::StatusOr<ParamValue> ParamFromField(const Message& params, const FieldDescriptor& field) {
  const Reflection& reflection = *params.GetReflection();
  const std::optional<ParamType> type = ParamTypeOf(field);
  if (!type) {
    return MakeError({.reason = ErrorReason::kNotImplemented, .field = field.name()},
                     Concat(field.name(), " is a ", TypeText(field),
                            ", which this version of the server does not read"));
  }
  switch (*type) {
    case ParamType::kBool:
      return ParamValue(reflection.GetBool(params, &field));
    case ParamType::kInt:
      return ParamValue(IntParam(params, field));
    case ParamType::kFloat:
      return ParamValue(FloatParam(params, field));
    case ParamType::kIntList:
      return ParamValue(IntListParam(params, field));
    case ParamType::kEnum:
      return EnumParam(params, field);
    case ParamType::kText:
      break;
  }
  return ParamValue(reflection.GetString(params, &field));
}

// The values of an enum as the table writes them: "softmax|logits", without the first, which means
// "not given".
std::string EnumValues(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 1; i < type.value_count(); ++i) {
    names.push_back(EnumValueName(type, *type.value(i)));
  }
  return absl::StrJoin(names, "|");
}

absl::Status Differ(std::string_view kind, std::string_view what) {
  return absl::InternalError(Concat("head \"", kind, "\": ", what));
}

absl::Status CheckField(const FieldDescriptor& field, const HeadType& type) {
  const ParamSpec* param = nullptr;
  for (const ParamSpec& p : type.params) {
    if (p.name == field.name()) param = &p;
  }
  const std::string named = Concat("field \"", field.name(), "\" of the API");
  if (param == nullptr) return Differ(type.name, named + " is not in the table of heads");
  if (ParamTypeOf(field) != param->type) {
    return Differ(type.name, Concat(named, " is a ", TypeText(field),
                                    ", which the parameter of that name cannot hold"));
  }
  if (param->type == ParamType::kEnum && EnumValues(*field.enum_type()) != param->enum_values) {
    return Differ(type.name, Concat(named, " has the values ", EnumValues(*field.enum_type()),
                                    ", the table ", param->enum_values));
  }
  return absl::OkStatus();
}

absl::Status CheckHead(const FieldDescriptor& kind, const HeadType& type) {
  if (kind.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    return Differ(type.name, "the API has no message for it");
  }
  const Descriptor& message = *kind.message_type();
  for (int i = 0; i < message.field_count(); ++i) {
    PIXPOOL_RETURN_IF_ERROR(CheckField(*message.field(i), type));
  }
  for (const ParamSpec& param : type.params) {
    if (message.FindFieldByName(std::string(param.name)) == nullptr) {
      return Differ(type.name, Concat("the API has no field \"", param.name, "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace

double WidenFloat(float value) {
  if (!std::isfinite(value)) return value;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value);
  double out = 0;
  std::from_chars(text, end.ptr, out);
  return out;
}

std::optional<ParamType> ParamTypeOf(const FieldDescriptor& field) {
  const bool list = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
      return list ? ParamType::kIntList : ParamType::kInt;
    case FieldDescriptor::CPPTYPE_BOOL:
      return list ? std::nullopt : std::optional(ParamType::kBool);
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return list ? std::nullopt : std::optional(ParamType::kFloat);
    case FieldDescriptor::CPPTYPE_ENUM:
      return list ? std::nullopt : std::optional(ParamType::kEnum);
    case FieldDescriptor::CPPTYPE_STRING:
      if (list || field.type() == FieldDescriptor::TYPE_BYTES) return std::nullopt;
      return ParamType::kText;
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return std::nullopt;
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

absl::Status CheckHeads(const OneofDescriptor& kinds, absl::Span<const HeadType> types) {
  std::set<std::string_view> in_table;
  for (const HeadType& type : types) in_table.insert(type.name);
  for (int i = 0; i < kinds.field_count(); ++i) {
    if (!in_table.contains(kinds.field(i)->name())) {
      return Differ(kinds.field(i)->name(), "a kind of the API that is not in the table of heads");
    }
  }
  for (const HeadType& type : types) {
    const FieldDescriptor* kind = kinds.containing_type()->FindFieldByName(std::string(type.name));
    if (kind == nullptr || kind->containing_oneof() != &kinds) {
      return Differ(type.name, "the API has no such kind");
    }
    PIXPOOL_RETURN_IF_ERROR(CheckHead(*kind, type));
  }
  return absl::OkStatus();
}

}  // namespace pixpool
