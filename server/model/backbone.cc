#include "server/model/backbone.h"

namespace pixpool {

absl::Span<const BackboneEngine> BackboneEngines() {
  // Fastest first.
  static constexpr BackboneEngine kEngines[] = {
#ifdef PIXPOOL_HAS_OPENVINO
      {"openvino", [](std::string_view device) { return device == "cpu"; }, LoadOpenVino,
       /*widens_when_alone=*/true},
#endif
      {"torchscript", [](std::string_view) { return true; }, LoadTorchScript},
  };
  return kEngines;
}

}  // namespace pixpool
