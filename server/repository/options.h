#pragma once

#include <string>
#include <string_view>

#include "server/base/option.h"

namespace pixpool {

inline constexpr std::string_view kNoControl = "none";
inline constexpr std::string_view kExplicitControl = "explicit";
inline constexpr std::string_view kPollControl = "poll";
inline constexpr std::string_view kControls[] = {kNoControl, kExplicitControl, kPollControl};

struct RepositoryOptions {
  static constexpr OptionSpec kModelsDir = {
      .group = kModelsGroup,
      .place = 1,
      .flag = "--models-dir",
      .value_name = "DIR",
      .help = "Folder of the model bundles.",
      .kind = OptionKind::kText,
      .initial = "models",
  };
  Option<std::string, kModelsDir> models_dir;

  static constexpr OptionSpec kModelVersions = {
      .group = kModelsGroup,
      .place = 10,
      .flag = "--model-versions",
      .value_name = "WHICH",
      .help =
          "Versions of a model that serve where its versions.json does not say: all, latest or "
          "latest:N.",
      .kind = OptionKind::kText,
      .initial = "all",
  };
  Option<std::string, kModelVersions> versions;

  static constexpr OptionSpec kControl = {
      .group = kModelsGroup,
      .place = 12,
      .flag = "--model-control",
      .value_name = "WHO",
      .help =
          "What has models loaded and unloaded besides SIGHUP: none, explicit (calls of "
          "RepositoryModelLoad and RepositoryModelUnload) or poll (looks at the folder).",
      .kind = OptionKind::kChoice,
      .initial = "none",
      .choices = kControls,
  };
  Option<std::string, kControl> control;

  static constexpr OptionSpec kPollSeconds = {
      .group = kModelsGroup,
      .place = 13,
      .flag = "--model-poll-s",
      .value_name = "SECONDS",
      .help = "Pause between two looks at the folder, where models are polled.",
      .kind = OptionKind::kNumber,
      .initial = 15,
      .min = 1,
      .max = 86'400,
  };
  Option<int, kPollSeconds> poll_seconds;

  static constexpr OptionSpec kIdleSeconds = {
      .group = kModelsGroup,
      .place = 14,
      .flag = "--model-idle-s",
      .value_name = "SECONDS",
      .help =
          "After how long without a call for it a model is freed; the next call loads it, and "
          "waits "
          "meanwhile. 0: never.",
      .kind = OptionKind::kNumber,
      .initial = 0,
      .min = 0,
      .max = 7 * 86'400,
  };
  Option<int, kIdleSeconds> idle_seconds;

  static constexpr OptionSpec kStrictModels = {
      .group = kModelsGroup,
      .place = 11,
      .flag = "--strict-models",
      .help = "End the start where a version cannot be loaded, in place of serving the others.",
      .kind = OptionKind::kSwitch,
      .initial = false,
  };
  Option<bool, kStrictModels> strict;
};

}  // namespace pixpool
