#include "server/heads/head_params.h"

#include <cmath>
#include <utility>

#include "server/base/error.h"
#include "server/base/number_text.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

absl::Status ParamError(const HeadType& type, std::string_view param, std::string_view what) {
  ErrorDetails details;
  details.reason = ErrorReason::kHeadInvalid;
  details.field = Concat(type.name, ".", param);
  return MakeError(details, Concat(details.field, " ", what));
}

bool InRange(const ParamSpec& spec, double value) {
  const bool above = spec.min_open ? value > spec.min : value >= spec.min;
  const bool below = spec.max_open ? value < spec.max : value <= spec.max;
  return above && below;  // NaN compares false
}

bool IsEnumName(std::string_view names, std::string_view name) {
  while (!name.empty()) {
    const size_t bar = names.find('|');
    if (names.substr(0, bar) == name) return true;
    if (bar == names.npos) break;
    names.remove_prefix(bar + 1);
  }
  return false;
}

// "1x2x4" of the table.
std::vector<int64_t> ParseList(std::string_view text) {
  std::vector<int64_t> list;
  while (!text.empty()) {
    const size_t x = text.find('x');
    list.push_back(std::stoll(std::string(text.substr(0, x))));
    text = x == text.npos ? std::string_view() : text.substr(x + 1);
  }
  return list;
}

// The default of a parameter. The table is ours, so its texts are well formed.
ParamValue DefaultValue(const ParamSpec& spec) {
  const std::string text(spec.default_value);
  switch (spec.type) {
    case ParamType::kBool:
      return text == "true";
    case ParamType::kInt:
      return int64_t{std::stoll(text)};
    case ParamType::kFloat:
      return static_cast<double>(std::stof(text));
    case ParamType::kIntList: {
      std::vector<int64_t> list = ParseList(text);
      if (spec.max_entries == 0) list.assign(2, list.front());
      return list;
    }
    case ParamType::kEnum:
    case ParamType::kText:
      break;
  }
  return text;
}

absl::StatusOr<ParamValue> CheckList(const HeadType& type, const ParamSpec& spec,
                                     std::vector<int64_t> list) {
  if (spec.max_entries > 0) {
    if (list.size() > spec.max_entries) {
      return ParamError(
          type, spec.name,
          Concat("has ", list.size(), " values; it takes at most ", spec.max_entries));
    }
  } else if (list.size() > 2) {
    return ParamError(type, spec.name,
                      Concat("has ", list.size(), " values; it takes one for both axes, or two"));
  } else if (list.size() == 1) {
    const int64_t both = list.front();
    list.assign(2, both);
  }
  for (int64_t side : list) {
    if (!InRange(spec, static_cast<double>(side))) {
      return ParamError(type, spec.name, Concat("is ", side, "; it must be in ", spec.RangeText()));
    }
  }
  return list;
}

// `value` in canonical form, if it has the right type and lies in the range.
absl::StatusOr<ParamValue> CheckValue(const HeadType& type, const ParamSpec& spec,
                                      const ParamValue& value) {
  const auto out_of_range = [&] {
    return ParamError(type, spec.name,
                      Concat("is ", ParamText(value), "; it must be in ", spec.RangeText()));
  };
  const int64_t* integer = std::get_if<int64_t>(&value);
  switch (spec.type) {
    case ParamType::kBool:
      if (std::holds_alternative<bool>(value)) return value;
      break;
    case ParamType::kInt:
      if (integer == nullptr) break;
      if (!InRange(spec, static_cast<double>(*integer))) return out_of_range();
      return value;
    case ParamType::kFloat: {
      if (integer == nullptr && !std::holds_alternative<double>(value)) break;
      // Rounded to what a request can carry, so that 0.1 from any source is one and the same
      // number.
      const double wide = integer != nullptr ? double(*integer) : std::get<double>(value);
      if (!InRange(spec, wide)) return out_of_range();
      const float narrow = static_cast<float>(wide);
      if (!InRange(spec, narrow)) return out_of_range();
      return static_cast<double>(narrow);
    }
    case ParamType::kIntList:
      if (integer != nullptr) return CheckList(type, spec, {*integer});
      if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) {
        return CheckList(type, spec, *list);
      }
      break;
    case ParamType::kEnum:
      if (const auto* name = std::get_if<std::string>(&value)) {
        if (!IsEnumName(spec.enum_values, *name)) return out_of_range();
        return value;
      }
      break;
    case ParamType::kText:
      if (std::holds_alternative<std::string>(value)) return value;
      break;
  }
  return ParamError(type, spec.name, Concat("has the wrong type; it must be ", spec.RangeText()));
}

}  // namespace

std::string ParamSpec::RangeText() const {
  switch (type) {
    case ParamType::kBool:
      return "true|false";
    case ParamType::kEnum:
      return std::string(enum_values);
    case ParamType::kText:
      return "a name";
    default:
      break;
  }
  const auto number = [](double value) {
    return std::fabs(value) < 1e15 && value == std::floor(value)
               ? ShortestText(static_cast<int64_t>(value))
               : ShortestText(value);
  };
  return Concat(min_open ? "(" : "[", number(min), ", ", number(max), max_open ? ")" : "]",
                max_entries > 0 ? Concat(", at most ", max_entries) : "");
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
    case ParamType::kText:
      return "text";
  }
  return "";
}

std::string ParamText(const ParamValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value)) return ShortestText(*integer);
  if (const auto* number = std::get_if<double>(&value)) return FloatText(*number);
  if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) {
    std::string text;
    for (int64_t entry : *list) text += Concat(text.empty() ? "" : "x", entry);
    return text;
  }
  return std::get<std::string>(value);
}

std::string ParamsText(const HeadType& type, const ParamMap& params, bool in_space) {
  std::string text;
  for (const ParamSpec& spec : type.params) {
    if (spec.in_space != in_space) continue;
    auto it = params.find(spec.name);
    text += Concat(";", spec.name, "=", it == params.end() ? "none" : ParamText(it->second));
  }
  return text;
}

absl::StatusOr<ParamMap> ResolveParams(const HeadType& type, const ParamMap& given) {
  ParamMap params;
  for (const ParamSpec& spec : type.params) {
    auto it = given.find(spec.name);
    const bool absent = it == given.end();
    // An empty list is how a repeated field says that it is not set.
    const auto* list = absent ? nullptr : std::get_if<std::vector<int64_t>>(&it->second);
    if (absent || (list != nullptr && list->empty())) {
      if (spec.required) return ParamError(type, spec.name, "is required");
      if (!spec.default_value.empty()) params.emplace(spec.name, DefaultValue(spec));
      continue;
    }
    PIXPOOL_ASSIGN_OR_RETURN(ParamValue value, CheckValue(type, spec, it->second));
    params.emplace(spec.name, std::move(value));
  }
  for (const auto& [name, value] : given) {
    bool known = false;
    for (const ParamSpec& spec : type.params) known |= spec.name == name;
    if (!known) return ParamError(type, name, "is not a parameter of this head");
  }
  return params;
}

}  // namespace pixpool
