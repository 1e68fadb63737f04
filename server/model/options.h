#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "server/backbone/engines.h"
#include "server/base/option.h"

namespace pixpool {

// In the order in which "auto" tries them: vectors of different precisions are not to be mixed
// unasked.
inline constexpr std::string_view kPrecisions[] = {"float32", "int8"};

// The names with "auto" before them.
template <size_t kCount>
constexpr std::array<std::string_view, kCount + 1> WithAuto(
    const std::string_view (&names)[kCount]) {
  std::array<std::string_view, kCount + 1> choices = {"auto"};
  for (size_t i = 0; i < kCount; ++i) choices[i + 1] = names[i];
  return choices;
}
inline constexpr auto kEngineChoices = WithAuto(kEngineNames);
inline constexpr auto kPrecisionChoices = WithAuto(kPrecisions);

// How LoadModel loads a bundle.
struct ModelOptions {
  static constexpr OptionSpec kDevice = {
      .group = kModelsGroup,
      .place = 3,
      .flag = "--device",
      .value_name = "DEVICE",
      .help = "Where backbones run; auto takes CUDA if there is one.",
      .kind = OptionKind::kDevice,
      .initial = "auto",
  };
  Option<std::string, kDevice> device;

  static constexpr OptionSpec kEngine = {
      .group = kModelsGroup,
      .place = 4,
      .flag = "--engine",
      .value_name = "ENGINE",
      .help =
          "What runs the backbones; auto takes the fastest of a bundle, but no "
          "aotinductor.",
      .kind = OptionKind::kChoice,
      .initial = "auto",
      .choices = kEngineChoices,
  };
  Option<std::string, kEngine> engine;

  static constexpr OptionSpec kPrecision = {
      .group = kModelsGroup,
      .place = 5,
      .flag = "--precision",
      .value_name = "PRECISION",
      .help = "Arithmetic of the backbones; auto is float32 where a bundle has it.",
      .kind = OptionKind::kChoice,
      .initial = "auto",
      .choices = kPrecisionChoices,
  };
  Option<std::string, kPrecision> precision;

  static constexpr OptionSpec kInstances = {
      .group = kModelsGroup,
      .place = 6,
      .flag = "--instances",
      .value_name = "COUNT",
      .help = "Batches that run at a time; 0 decides by engine and CPU quota.",
      .kind = OptionKind::kNumber,
      .initial = 0,
      .min = 0,
      .max = 256,
  };
  Option<int, kInstances> instances;

  static constexpr OptionSpec kThreadsPerInstance = {
      .group = kModelsGroup,
      .place = 7,
      .flag = "--threads-per-instance",
      .value_name = "COUNT",
      .help = "CPU threads of a backbone pass; 0 likewise.",
      .kind = OptionKind::kNumber,
      .initial = 0,
      .min = 0,
      .max = 1024,
  };
  Option<int, kThreadsPerInstance> threads_per_instance;
};

}  // namespace pixpool
