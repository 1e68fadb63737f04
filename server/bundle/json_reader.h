// Typed access to a JSON document that collects every problem with its path instead of stopping at
// the first.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"

namespace pixpool {

// Problems found so far; shared by all readers of one document.
struct JsonProblems {
  std::vector<std::string> list;
  void Add(std::string_view path, std::string_view what);
};

// One object of the document. Getters report a problem and return a harmless value where the field
// is missing or wrong; a `nullptr` object reports nothing, because its absence already was
// reported.
class JsonObject {
 public:
  JsonObject(const nlohmann::json* object, std::string path, JsonProblems* problems);

  bool Has(std::string_view key) const;
  std::string Text(std::string_view key) const;
  int64_t Int(std::string_view key, int64_t min, int64_t max) const;
  bool Bool(std::string_view key) const;
  double Number(std::string_view key, double min, double max) const;
  std::array<float, 3> Triple(std::string_view key, double min) const;
  // An object as JSON text, for whoever knows what belongs in it.
  std::string Json(std::string_view key) const;
  // Two whole numbers: height and width.
  std::array<int64_t, 2> Sides(std::string_view key, int64_t min, int64_t max) const;
  // One of `names`; returns its position.
  int Choice(std::string_view key, const std::vector<std::string_view>& names) const;
  JsonObject Object(std::string_view key) const;
  // A list of objects with at least one entry.
  std::vector<JsonObject> Objects(std::string_view key) const;

  std::string Path(std::string_view key) const;
  void Problem(std::string_view key, std::string_view what) const;

 private:
  // The field, or null after having reported that it is missing.
  const nlohmann::json* Find(std::string_view key) const;

  const nlohmann::json* object_;
  std::string path_;
  JsonProblems* problems_;
};

}  // namespace pixpool
