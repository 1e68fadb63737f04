#include "proto/message_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace pixpool {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::OneofDescriptor;
using google::protobuf::Reflection;

const OneofDescriptor* KindOneof() {
  static const OneofDescriptor* const kind = v1::Head::descriptor()->FindOneofByName("kind");
  return kind;
}

bool IsScalar(const FieldDescriptor* field) {
  return field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE;
}

// "SCORE_TYPE_" of enum ScoreType: what all of its values begin with.
std::string EnumPrefix(const EnumDescriptor* type) {
  const std::string& first = type->value(0)->name();
  constexpr absl::string_view kUnspecified = "UNSPECIFIED";
  return absl::EndsWith(first, kUnspecified) ? first.substr(0, first.size() - kUnspecified.size())
                                             : "";
}

const EnumValueDescriptor* FindEnumValue(const EnumDescriptor* type, absl::string_view text) {
  const std::string name = absl::AsciiStrToUpper(text);
  if (const auto* value = type->FindValueByName(name)) return value;
  return type->FindValueByName(EnumPrefix(type) + name);
}

std::string EnumNames(const EnumDescriptor* type) {
  const size_t prefix = EnumPrefix(type).size();
  std::vector<std::string> names;
  for (int i = 1; i < type->value_count(); ++i) {  // 0 means "not given"
    names.push_back(absl::AsciiStrToLower(type->value(i)->name().substr(prefix)));
  }
  return absl::StrJoin(names, ", ");
}

// Sets, or for a list appends, one value of a scalar field. False: `text` does not fit; `wanted`
// says what does.
bool SetValue(Message& message, const FieldDescriptor* field, absl::string_view text,
              std::string& wanted) {
  const Reflection* r = message.GetReflection();
  const bool list = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t v;
      wanted = "a whole number";
      if (!absl::SimpleAtoi(text, &v)) return false;
      list ? r->AddInt32(&message, field, v) : r->SetInt32(&message, field, v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t v;
      wanted = "a whole number";
      if (!absl::SimpleAtoi(text, &v)) return false;
      list ? r->AddInt64(&message, field, v) : r->SetInt64(&message, field, v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      float v;
      wanted = "a number";
      if (!absl::SimpleAtof(text, &v) || !std::isfinite(v)) return false;
      list ? r->AddFloat(&message, field, v) : r->SetFloat(&message, field, v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double v;
      wanted = "a number";
      if (!absl::SimpleAtod(text, &v) || !std::isfinite(v)) return false;
      list ? r->AddDouble(&message, field, v) : r->SetDouble(&message, field, v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool v;
      wanted = "true or false";
      if (!absl::SimpleAtob(text, &v)) return false;
      list ? r->AddBool(&message, field, v) : r->SetBool(&message, field, v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      wanted = "a text";
      if (text.empty()) return false;
      list ? r->AddString(&message, field, std::string(text))
           : r->SetString(&message, field, std::string(text));
      return true;
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumValueDescriptor* v = FindEnumValue(field->enum_type(), text);
      wanted = absl::StrCat("one of ", EnumNames(field->enum_type()));
      if (v == nullptr) return false;
      list ? r->AddEnum(&message, field, v) : r->SetEnum(&message, field, v);
      return true;
    }
    default:
      wanted = "a kind of value that text cannot give";
      return false;
  }
}

// What in `message` is set already and clashes with `field`; null: nothing.
const FieldDescriptor* Clash(const Message& message, const FieldDescriptor* field) {
  const Reflection* r = message.GetReflection();
  if (field->is_repeated()) return r->FieldSize(message, field) > 0 ? field : nullptr;
  if (const OneofDescriptor* group = field->real_containing_oneof()) {
    return r->HasOneof(message, group) ? r->GetOneofFieldDescriptor(message, group) : nullptr;
  }
  return r->HasField(message, field) ? field : nullptr;
}

// Debian's absl::string_view is not std::string_view.
absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

struct FieldOf {
  Message* owner;
  const FieldDescriptor* field;  // null: there is none of that name
};

// The kind's message of a head that has one.
Message& KindMessage(v1::Head& head) {
  const Reflection* r = head.GetReflection();
  return *r->MutableMessage(&head, r->GetOneofFieldDescriptor(head, KindOneof()));
}

FieldOf FindParameter(v1::Head& head, const std::string& name) {
  Message& kind = KindMessage(head);
  if (const FieldDescriptor* own = kind.GetDescriptor()->FindFieldByName(name)) {
    return {&kind, own};
  }
  const FieldDescriptor* shared = v1::Head::descriptor()->FindFieldByName(name);
  return {&head, shared != nullptr && IsScalar(shared) ? shared : nullptr};
}

std::string UnknownParameter(v1::Head& head, absl::string_view name) {
  const Message& kind = KindMessage(head);
  const FieldDescriptor* kind_field =
      head.GetReflection()->GetOneofFieldDescriptor(head, KindOneof());
  const std::vector<std::string> own = ScalarFieldNames(kind.GetDescriptor());
  return absl::StrCat("no parameter \"", name, "\"; ", kind_field->name(), " takes ",
                      own.empty() ? "no parameters of its own" : absl::StrJoin(own, ", "),
                      "; every head takes ",
                      absl::StrJoin(ScalarFieldNames(v1::Head::descriptor()), ", "),
                      " (short: id for head_id, l2 for l2_normalized)");
}

absl::string_view LongForm(absl::string_view name) {
  if (name == "l2") return "l2_normalized";
  if (name == "id") return "head_id";
  return name;
}

// Applies "name=value" or "name". Returns the complaint, or "".
std::string Apply(absl::string_view parameter, v1::Head& head) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(parameter, absl::MaxSplits('=', 1));
  const std::string name(LongForm(absl::StripAsciiWhitespace(parts.first)));
  if (absl::StrContains(parameter, '=')) {
    const absl::string_view value = absl::StripAsciiWhitespace(parts.second);
    return SetHeadParameter(head, name, {value.data(), value.size()});
  }
  const FieldOf found = FindParameter(head, name);
  if (found.field != nullptr && found.field->cpp_type() != FieldDescriptor::CPPTYPE_BOOL) {
    return absl::StrCat("\"", name, "\" needs a value: ", name, "=...");
  }
  return SetHeadParameter(head, name, "true");
}

}  // namespace

std::vector<std::string> ScalarFieldNames(const Descriptor* message) {
  std::vector<std::string> names;
  for (int i = 0; i < message->field_count(); ++i) {
    if (IsScalar(message->field(i))) names.emplace_back(message->field(i)->name());
  }
  return names;
}

std::vector<std::string> HeadKindNames() {
  std::vector<std::string> kinds;
  for (int i = 0; i < KindOneof()->field_count(); ++i) {
    kinds.push_back(KindOneof()->field(i)->name());
  }
  return kinds;
}

std::string SetField(Message& message, const FieldDescriptor* field, std::string_view value) {
  std::vector<absl::string_view> values = {View(value)};
  if (field->is_repeated()) values = absl::StrSplit(View(value), absl::ByAnyChar("xX"));
  for (const absl::string_view v : values) {
    std::string wanted;
    if (!SetValue(message, field, v, wanted)) {
      return absl::StrCat("\"", field->name(), "\" must be ", wanted,
                          field->is_repeated() ? ", or several joined by x" : "", ", not \"",
                          View(value), "\"");
    }
  }
  return "";
}

std::string SetHeadParameter(v1::Head& head, std::string_view name, std::string_view value) {
  const std::string long_name(LongForm(View(name)));
  const FieldOf found = FindParameter(head, long_name);
  if (found.field == nullptr) return UnknownParameter(head, long_name);
  if (const FieldDescriptor* other = Clash(*found.owner, found.field)) {
    return other == found.field
               ? absl::StrCat("\"", long_name, "\" is given twice")
               : absl::StrCat("\"", long_name, "\" and \"", other->name(), "\" exclude each other");
  }
  return SetField(*found.owner, found.field, value);
}

absl::StatusOr<v1::Head> HeadFromText(std::string_view spec) {
  const absl::string_view text = View(spec);
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  const std::string name(absl::StripAsciiWhitespace(parts.first));
  const FieldDescriptor* kind = v1::Head::descriptor()->FindFieldByName(name);
  if (kind == nullptr || kind->containing_oneof() != KindOneof()) {
    return absl::InvalidArgumentError(absl::StrCat("head \"", text, "\": no kind \"", name,
                                                   "\"; kinds are ",
                                                   absl::StrJoin(HeadKindNames(), ", ")));
  }
  v1::Head head;
  head.GetReflection()->MutableMessage(&head, kind);
  const bool has_parameters = absl::StrContains(text, ':');
  if (has_parameters && absl::StripAsciiWhitespace(parts.second).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("head \"", text, "\": nothing follows the colon; leave it out"));
  }
  if (!has_parameters) return head;
  for (const absl::string_view parameter : absl::StrSplit(parts.second, ',')) {
    if (const std::string complaint = Apply(parameter, head); !complaint.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("head \"", text, "\": ", complaint));
    }
  }
  return head;
}

}  // namespace pixpool
