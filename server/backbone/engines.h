// The names of the engines, for those who need no torch.
#pragma once

#include <string_view>

namespace pixpool {

// Fastest first on each device: the order of the table in backbone.cc, which is held to it, and of
// --help. A build without OpenVINO has the others.
inline constexpr std::string_view kEngineNames[] = {"openvino", "aotinductor", "torchscript"};

}  // namespace pixpool
