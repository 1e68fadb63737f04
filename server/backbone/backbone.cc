#include "server/backbone/backbone.h"

namespace pixpool {

absl::Span<const BackboneEngine> BackboneEngines() {
  // Fastest first on each device.
  static constexpr BackboneEngine kEngines[] = {
#ifdef PIXPOOL_HAS_OPENVINO
      {"openvino", [](std::string_view device) { return device == "cpu"; }, LoadOpenVino,
       /*widens_when_alone=*/true},
#endif
      // Its packages are machine code: nothing of the kind runs because a bundle happens to hold
      // it.
      {"aotinductor", [](std::string_view) { return true; }, LoadAotInductor,
       /*widens_when_alone=*/false, /*only_by_name=*/true},
      {"torchscript", [](std::string_view) { return true; }, LoadTorchScript},
  };
  return kEngines;
}

}  // namespace pixpool
