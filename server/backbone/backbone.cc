#include "server/backbone/backbone.h"

#include <cstddef>
#include <iterator>

namespace pixpool {
namespace {

std::vector<BackboneEngine> EnginesOfThisBuild() {
#define PIXPOOL_LOADER(Name, ...) kLoad##Name,
  const BackboneLoader loaders[] = {PIXPOOL_ENGINES(PIXPOOL_LOADER)};
#undef PIXPOOL_LOADER
  std::vector<BackboneEngine> engines;
  for (size_t i = 0; i < std::size(loaders); ++i) {
    if (loaders[i] != nullptr) engines.push_back({kEngines[i], loaders[i]});
  }
  return engines;
}

}  // namespace

absl::Span<const BackboneEngine> BackboneEngines() {
  static const auto* const engines = new std::vector<BackboneEngine>(EnginesOfThisBuild());
  return *engines;
}

}  // namespace pixpool
