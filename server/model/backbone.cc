#include "server/model/backbone.h"

#include <array>

namespace pixpool {

absl::Span<const BackboneEngine> BackboneEngines() {
  static constexpr std::array<BackboneEngine, 1> kEngines = {{
      {"torchscript", [](std::string_view) { return true; }, LoadTorchScript},
  }};
  return kEngines;
}

}  // namespace pixpool
