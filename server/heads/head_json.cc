#include "server/heads/head_json.h"

#include "nlohmann/json.hpp"
#include "server/heads/head_params.h"
#include "server/heads/heads.h"

namespace pixpool {
namespace {

using Json = nlohmann::ordered_json;

std::string_view OutputName(HeadOutputKind output) {
  switch (output) {
    case HeadOutputKind::kVector:
      return "vector";
    case HeadOutputKind::kMap:
      return "map";
    case HeadOutputKind::kScores:
      return "scores";
    case HeadOutputKind::kActivationMap:
      return "activation_map";
  }
  return "";
}

Json ParamJson(const ParamSpec& param) {
  Json row = {{"name", param.name}, {"type", ParamTypeName(param.type)}, {"help", param.help}};
  row["required"] = param.required;
  row["default"] = param.default_value.empty() ? Json() : Json(param.default_value);
  if (!param.default_rule.empty()) row["default_rule"] = param.default_rule;
  row["range"] = param.RangeText();
  if (param.max_entries > 0) row["max_entries"] = param.max_entries;
  row["in_space"] = param.in_space;
  return row;
}

}  // namespace

std::string HeadsJson() {
  Json heads = Json::array();
  for (const HeadType& type : HeadTypes()) {
    Json row = {{"name", type.name}, {"description", type.description}, {"use", type.use}};
    row["reference"] = type.reference.empty() ? Json() : Json(type.reference);
    row["output"] = OutputName(type.output);
    row["shape"] = type.shape;
    row["cost"] = type.cost;
    row["reads"] = HeadReadsName(type.reads);
    row["needs_classifier"] = type.needs_classifier();
    row["warns_of_negatives"] = type.negatives != nullptr;
    row["parameters"] = Json::array();
    for (const ParamSpec& param : type.params) row["parameters"].push_back(ParamJson(param));
    heads.push_back(std::move(row));
  }
  return heads.dump(2) + "\n";
}

}  // namespace pixpool
