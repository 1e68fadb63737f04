#include "server/backbone/backbone.h"

#include "server/backbone/engines.h"

namespace pixpool {
namespace {

// Whether the table has the engines of kEngineNames in their order, without OpenVINO where the
// build has none.
constexpr bool HasAllByName(absl::Span<const BackboneEngine> engines) {
  size_t found = 0;
  for (const std::string_view name : kEngineNames) {
#ifndef PIXPOOL_HAS_OPENVINO
    if (name == "openvino") continue;
#endif
    if (found == engines.size() || engines[found].name != name) return false;
    ++found;
  }
  return found == engines.size();
}

}  // namespace

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
  static_assert(HasAllByName(kEngines), "engines.h and this table differ");
  return kEngines;
}

}  // namespace pixpool
