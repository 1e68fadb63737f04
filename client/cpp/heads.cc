#include "client/cpp/heads.h"

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
#include "google/protobuf/message.h"

namespace pixpool::client {
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

std::vector<std::string> ScalarNames(const Descriptor* message) {
  std::vector<std::string> names;
  for (int i = 0; i < message->field_count(); ++i) {
    if (IsScalar(message->field(i))) names.emplace_back(message->field(i)->name());
  }
  return names;
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

absl::string_view LongForm(absl::string_view name) {
  if (name == "l2") return "l2_normalized";
  if (name == "id") return "head_id";
  return name;
}

// Applies "name=value" or "name" to the kind's message or, failing that, to the head. Returns the
// complaint, or "".
std::string Apply(absl::string_view parameter, v1::Head& head, Message& kind,
                  absl::string_view kind_name) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(parameter, absl::MaxSplits('=', 1));
  const std::string name(LongForm(absl::StripAsciiWhitespace(parts.first)));
  const absl::string_view value = absl::StripAsciiWhitespace(parts.second);

  Message* owner = &kind;
  const FieldDescriptor* field = kind.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr) {
    owner = &head;
    field = head.GetDescriptor()->FindFieldByName(name);
  }
  if (field == nullptr || !IsScalar(field)) {
    const std::vector<std::string> own = ScalarNames(kind.GetDescriptor());
    return absl::StrCat("no parameter \"", name, "\"; ", kind_name, " takes ",
                        own.empty() ? "no parameters of its own" : absl::StrJoin(own, ", "),
                        "; every head takes ",
                        absl::StrJoin(ScalarNames(v1::Head::descriptor()), ", "),
                        " (short: id for head_id, l2 for l2_normalized)");
  }
  if (const FieldDescriptor* other = Clash(*owner, field)) {
    return other == field
               ? absl::StrCat("\"", name, "\" is given twice")
               : absl::StrCat("\"", name, "\" and \"", other->name(), "\" exclude each other");
  }

  const bool bare = absl::StrContains(parameter, '=') == false;
  const bool is_bool = field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL;
  if (bare && !is_bool) return absl::StrCat("\"", name, "\" needs a value: ", name, "=...");

  std::vector<absl::string_view> values = {bare ? "true" : value};
  if (field->is_repeated()) values = absl::StrSplit(value, absl::ByAnyChar("xX"));
  for (const absl::string_view v : values) {
    std::string wanted;
    if (!SetValue(*owner, field, v, wanted)) {
      return absl::StrCat("\"", name, "\" must be ", wanted,
                          field->is_repeated() ? ", or several joined by x" : "", ", not \"", value,
                          "\"");
    }
  }
  return "";
}

}  // namespace

v1::Head GlobalAvg() {
  v1::Head head;
  head.mutable_global_avg();
  return head;
}

v1::Head GlobalMax() {
  v1::Head head;
  head.mutable_global_max();
  return head;
}

v1::Head Gem(float p) {
  v1::Head head;
  head.mutable_gem()->set_p(p);
  return head;
}

v1::Head ClassScores(int top_k) {
  v1::Head head;
  head.mutable_class_scores()->set_top_k(top_k);
  return head;
}

std::vector<std::string> HeadKinds() {
  std::vector<std::string> kinds;
  for (int i = 0; i < KindOneof()->field_count(); ++i) {
    kinds.push_back(KindOneof()->field(i)->name());
  }
  return kinds;
}

absl::StatusOr<v1::Head> ParseHead(std::string_view spec) {
  const absl::string_view text(spec.data(), spec.size());
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  const std::string name(absl::StripAsciiWhitespace(parts.first));
  const FieldDescriptor* kind = v1::Head::descriptor()->FindFieldByName(name);
  if (kind == nullptr || kind->containing_oneof() != KindOneof()) {
    return absl::InvalidArgumentError(absl::StrCat("head \"", text, "\": no kind \"", name,
                                                   "\"; kinds are ",
                                                   absl::StrJoin(HeadKinds(), ", ")));
  }
  v1::Head head;
  Message* message = head.GetReflection()->MutableMessage(&head, kind);
  const bool has_parameters = absl::StrContains(text, ':');
  if (has_parameters && absl::StripAsciiWhitespace(parts.second).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("head \"", text, "\": nothing follows the colon; leave it out"));
  }
  if (!has_parameters) return head;
  for (const absl::string_view parameter : absl::StrSplit(parts.second, ',')) {
    if (const std::string complaint = Apply(parameter, head, *message, name); !complaint.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("head \"", text, "\": ", complaint));
    }
  }
  return head;
}

}  // namespace pixpool::client
