#include "proto/message_text.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

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

// Debian's absl::string_view is not std::string_view.
absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

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

// How a value reads in a complaint, and in a field that holds text. Of a double, the shortest text
// of its float32.
std::string TextOf(const FieldValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* number = std::get_if<int64_t>(&value)) return absl::StrCat(*number);
  if (const auto* number = std::get_if<uint64_t>(&value)) return absl::StrCat(*number);
  if (const auto* text = std::get_if<std::string_view>(&value)) return std::string(*text);
  if (const auto* number = std::get_if<double>(&value)) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof(text), static_cast<float>(*number));
    return std::string(text, end.ptr);
  }
  return "";
}

// A float that is a whole number is one.
template <typename Int>
std::optional<Int> WholeNumber(const FieldValue& value) {
  using Limits = std::numeric_limits<Int>;
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    Int number;
    return absl::SimpleAtoi(View(*text), &number) ? std::optional(number) : std::nullopt;
  }
  if (const auto* number = std::get_if<double>(&value)) {
    const float narrow = static_cast<float>(*number);
    // The least value is a power of two, so that it and its negative are floats.
    constexpr float kLeast = static_cast<float>(Limits::min());
    const bool fits = narrow == std::trunc(narrow) && narrow >= kLeast && narrow < -kLeast;
    return fits ? std::optional(static_cast<Int>(narrow)) : std::nullopt;
  }
  if (const auto* number = std::get_if<int64_t>(&value); number && std::in_range<Int>(*number)) {
    return static_cast<Int>(*number);
  }
  if (const auto* number = std::get_if<uint64_t>(&value); number && std::in_range<Int>(*number)) {
    return static_cast<Int>(*number);
  }
  return std::nullopt;
}

bool ReadNumber(absl::string_view text, float* number) { return absl::SimpleAtof(text, number); }
bool ReadNumber(absl::string_view text, double* number) { return absl::SimpleAtod(text, number); }

// Finite alone.
template <typename Float>
std::optional<Float> Number(const FieldValue& value) {
  Float number = std::numeric_limits<Float>::quiet_NaN();
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    if (!ReadNumber(View(*text), &number)) return std::nullopt;
  } else if (const auto* wide = std::get_if<double>(&value)) {
    number = static_cast<Float>(*wide);
  } else if (const auto* whole = std::get_if<int64_t>(&value)) {
    number = static_cast<Float>(*whole);
  } else if (const auto* natural = std::get_if<uint64_t>(&value)) {
    number = static_cast<Float>(*natural);
  }
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

// 0 and 1 are flags, too.
std::optional<bool> Flag(const FieldValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    bool flag;
    return absl::SimpleAtob(View(*text), &flag) ? std::optional(flag) : std::nullopt;
  }
  const std::optional<int64_t> number = WholeNumber<int64_t>(value);
  return number == 0 || number == 1 ? std::optional(number == 1) : std::nullopt;
}

// Sets, or for a list appends, one value of a scalar field. False: `value` does not fit; `wanted`
// says what does.
bool SetValue(Message& message, const FieldDescriptor* field, const FieldValue& value,
              std::string& wanted) {
  const Reflection* r = message.GetReflection();
  const bool list = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      wanted = "a whole number";
      const std::optional<int32_t> v = WholeNumber<int32_t>(value);
      if (!v) return false;
      list ? r->AddInt32(&message, field, *v) : r->SetInt32(&message, field, *v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      wanted = "a whole number";
      const std::optional<int64_t> v = WholeNumber<int64_t>(value);
      if (!v) return false;
      list ? r->AddInt64(&message, field, *v) : r->SetInt64(&message, field, *v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      wanted = "a number";
      const std::optional<float> v = Number<float>(value);
      if (!v) return false;
      list ? r->AddFloat(&message, field, *v) : r->SetFloat(&message, field, *v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      wanted = "a number";
      const std::optional<double> v = Number<double>(value);
      if (!v) return false;
      list ? r->AddDouble(&message, field, *v) : r->SetDouble(&message, field, *v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      wanted = "true or false";
      const std::optional<bool> v = Flag(value);
      if (!v) return false;
      list ? r->AddBool(&message, field, *v) : r->SetBool(&message, field, *v);
      return true;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      wanted = "a text";
      std::string v = TextOf(value);
      if (v.empty()) return false;
      list ? r->AddString(&message, field, std::move(v))
           : r->SetString(&message, field, std::move(v));
      return true;
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      wanted = absl::StrCat("one of ", EnumNames(field->enum_type()));
      const auto* text = std::get_if<std::string_view>(&value);
      const auto* v = text ? FindEnumValue(field->enum_type(), View(*text)) : nullptr;
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
    return SetHeadParameter(head, name, std::string_view(value.data(), value.size()));
  }
  const FieldOf found = FindParameter(head, name);
  if (found.field != nullptr && found.field->cpp_type() != FieldDescriptor::CPPTYPE_BOOL) {
    return absl::StrCat("\"", name, "\" needs a value: ", name, "=...");
  }
  return SetHeadParameter(head, name, true);
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

std::string SetField(Message& message, const FieldDescriptor* field, const FieldValue& value) {
  std::vector<FieldValue> values = {value};
  const auto* text = std::get_if<std::string_view>(&value);
  if (text != nullptr && field->is_repeated()) {
    values.clear();
    for (const absl::string_view part : absl::StrSplit(View(*text), absl::ByAnyChar("xX"))) {
      values.emplace_back(std::string_view(part.data(), part.size()));
    }
  }
  for (const FieldValue& v : values) {
    std::string wanted;
    if (!SetValue(message, field, v, wanted)) {
      return absl::StrCat("\"", field->name(), "\" must be ", wanted,
                          field->is_repeated() ? ", or several joined by x" : "", ", not \"",
                          TextOf(value), "\"");
    }
  }
  return "";
}

std::string SetHeadParameter(v1::Head& head, std::string_view name, const FieldValue& value) {
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
