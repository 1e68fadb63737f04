// The engines of backbones: what can be said of them without torch. An engine needs its row here
// and its NAME_backbone.cc, which defines what loads it (backbone.h); option, declarations and
// table follow from the row.
#pragma once

#include <string_view>

namespace pixpool {

constexpr bool OnAnyDevice(std::string_view) { return true; }
constexpr bool OnCpu(std::string_view device) { return device == "cpu"; }

struct Engine {
  std::string_view name;
  // Of "cpu" and "cuda:N".
  bool (*runs_on)(std::string_view device) = OnAnyDevice;
  // On a CPU: whether an instance is one thread, as many of them as there are cores, and takes more
  // threads for a pass when the others have nothing to do. Otherwise one instance has all cores.
  bool widens_when_alone = false;
  // "auto" passes it over: it runs what nobody asked for by name.
  bool only_by_name = false;
};

// E(OpenVino, ...) stands for kLoadOpenVino, which openvino_backbone.cc defines, and the engine of
// these members. Fastest first on each device: the order in which "auto" tries them, and of --help.
// Packages of aotinductor are machine code: nothing of the kind runs because a bundle happens to
// hold it.
#define PIXPOOL_ENGINES(E)                                                     \
  E(OpenVino, .name = "openvino", .runs_on = OnCpu, .widens_when_alone = true) \
  E(AotInductor, .name = "aotinductor", .only_by_name = true)                  \
  E(TorchScript, .name = "torchscript")

// All of them; a build may be without some (BackboneEngines).
#define PIXPOOL_ENGINE(Name, ...) Engine{__VA_ARGS__},
inline constexpr Engine kEngines[] = {PIXPOOL_ENGINES(PIXPOOL_ENGINE)};
#undef PIXPOOL_ENGINE

#define PIXPOOL_NAME(Name, ...) Engine{__VA_ARGS__}.name,
inline constexpr std::string_view kEngineNames[] = {PIXPOOL_ENGINES(PIXPOOL_NAME)};
#undef PIXPOOL_NAME

}  // namespace pixpool
