#include "server/heads/vectors.h"

#include <algorithm>

#include "server/base/text.h"
#include "server/bundle/graph_outputs.h"

namespace pixpool {

bool HasVector(std::string_view name, const HeadScope& scope) {
  return std::any_of(scope.vectors.begin(), scope.vectors.end(),
                     [name](const VectorInfo& vector) { return vector.name == name; });
}

bool UseVector(std::string_view name, const HeadScope& scope, HeadSpec& spec) {
  for (size_t i = 0; i < scope.vectors.size(); ++i) {
    const VectorInfo& vector = scope.vectors[i];
    if (vector.name != name) continue;
    spec.vector = vector.name;
    spec.vector_dimensions = vector.dimensions;
    spec.source.vector = GraphOutputs(scope.layers, scope.vectors).Vector(static_cast<int>(i));
    return true;
  }
  return false;
}

std::string NoVectorText(std::string_view name, const HeadScope& scope) {
  std::string names;
  for (const VectorInfo& vector : scope.vectors) {
    names += Concat(names.empty() ? "" : ", ", vector.name);
  }
  return Concat("the bundle has no vector '", name, "'; it has ", names.empty() ? "none" : names);
}

}  // namespace pixpool
