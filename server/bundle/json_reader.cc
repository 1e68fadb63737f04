#include "server/bundle/json_reader.h"

#include <cmath>
#include <utility>

#include "server/base/text.h"

namespace pixpool {

using nlohmann::json;

void JsonProblems::Add(std::string_view path, std::string_view what) {
  list.push_back(Concat(path, ": ", what));
}

JsonObject::JsonObject(const json* object, std::string path, JsonProblems* problems)
    : object_(object), path_(std::move(path)), problems_(problems) {
  if (object_ != nullptr && !object_->is_object()) {
    problems_->Add(path_, "must be an object");
    object_ = nullptr;
  }
}

std::string JsonObject::Path(std::string_view key) const { return Concat(path_, ".", key); }

void JsonObject::Problem(std::string_view key, std::string_view what) const {
  if (object_ != nullptr) problems_->Add(Path(key), what);
}

bool JsonObject::Has(std::string_view key) const {
  return object_ != nullptr && object_->find(key) != object_->end();
}

const json* JsonObject::Find(std::string_view key) const {
  if (object_ == nullptr) return nullptr;
  auto it = object_->find(key);
  if (it == object_->end()) {
    Problem(key, "is missing");
    return nullptr;
  }
  return &*it;
}

std::string JsonObject::Text(std::string_view key) const {
  const json* value = Find(key);
  if (value == nullptr) return "";
  if (!value->is_string() || value->get_ref<const std::string&>().empty()) {
    Problem(key, "must be a text that is not empty");
    return "";
  }
  return value->get<std::string>();
}

int64_t JsonObject::Int(std::string_view key, int64_t min, int64_t max) const {
  const json* value = Find(key);
  if (value == nullptr) return min;
  // An unsigned number above the range of int64_t would wrap around in get<int64_t>.
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= uint64_t{INT64_MAX});
  if (!fits || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    Problem(key, Concat("must be an integer from ", min, " to ", max));
    return min;
  }
  return value->get<int64_t>();
}

bool JsonObject::Bool(std::string_view key) const {
  const json* value = Find(key);
  if (value == nullptr) return false;
  if (!value->is_boolean()) {
    Problem(key, "must be true or false");
    return false;
  }
  return value->get<bool>();
}

double JsonObject::Number(std::string_view key, double min, double max) const {
  const json* value = Find(key);
  if (value == nullptr) return min;
  if (!value->is_number() || !(value->get<double>() >= min && value->get<double>() <= max)) {
    Problem(key, Concat("must be a number from ", min, " to ", max));
    return min;
  }
  return value->get<double>();
}

std::array<float, 3> JsonObject::Triple(std::string_view key, double min) const {
  std::array<float, 3> result = {1, 1, 1};
  const json* value = Find(key);
  if (value == nullptr) return result;
  bool good = value->is_array() && value->size() == 3;
  for (size_t i = 0; good && i < 3; ++i) {
    const json& entry = (*value)[i];
    good = entry.is_number() && std::isfinite(entry.get<float>()) && entry.get<double>() >= min;
    if (good) result[i] = entry.get<float>();
  }
  if (!good) Problem(key, Concat("must be three numbers of at least ", min));
  return result;
}

std::string JsonObject::Json(std::string_view key) const {
  const json* value = Find(key);
  if (value == nullptr) return "";
  if (!value->is_object()) {
    Problem(key, "must be an object");
    return "";
  }
  return value->dump();
}

std::array<int64_t, 2> JsonObject::Sides(std::string_view key, int64_t min, int64_t max) const {
  std::array<int64_t, 2> result = {min, min};
  const json* value = Find(key);
  if (value == nullptr) return result;
  bool good = value->is_array() && value->size() == 2;
  for (size_t i = 0; good && i < 2; ++i) {
    const json& entry = (*value)[i];
    good = entry.is_number_integer() && entry.get<int64_t>() >= min && entry.get<int64_t>() <= max;
    if (good) result[i] = entry.get<int64_t>();
  }
  if (!good) Problem(key, Concat("must be two integers from ", min, " to ", max));
  return result;
}

int JsonObject::Choice(std::string_view key, const std::vector<std::string_view>& names) const {
  const json* value = Find(key);
  if (value == nullptr) return 0;
  if (value->is_string()) {
    for (size_t i = 0; i < names.size(); ++i) {
      if (value->get_ref<const std::string&>() == names[i]) return static_cast<int>(i);
    }
  }
  std::string list;
  for (std::string_view name : names) list.append(list.empty() ? "" : ", ").append(name);
  Problem(key, Concat("must be one of ", list));
  return 0;
}

JsonObject JsonObject::Object(std::string_view key) const {
  return JsonObject(Find(key), Path(key), problems_);
}

std::vector<JsonObject> JsonObject::Objects(std::string_view key) const {
  std::vector<JsonObject> result;
  const json* value = Find(key);
  if (value == nullptr) return result;
  if (!value->is_array() || value->empty()) {
    Problem(key, "must be a list of at least one object");
    return result;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    result.emplace_back(&(*value)[i], Concat(Path(key), "[", i, "]"), problems_);
  }
  return result;
}

}  // namespace pixpool
