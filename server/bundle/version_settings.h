// Which versions of a model serve, and by what names: the optional file versions.json beside them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace pixpool {

// Which of the versions that there are serve.
struct VersionPolicy {
  int latest = 0;                  // so many of the highest; 0: all, or those named
  std::vector<std::string> named;  // empty: all, or the latest
  bool operator==(const VersionPolicy&) const = default;
};

// The policy that a text says: "all", "latest" or "latest:N". INVALID_ARGUMENT with the cause
// alone.
absl::StatusOr<VersionPolicy> ParseVersionPolicy(std::string_view text);

// The `version_policy` of the configuration of `model` in Triton's form and JSON, beside which it
// may have the model's `name` and nothing else. INVALID_ARGUMENT with the cause alone.
absl::StatusOr<VersionPolicy> VersionPolicyOfConfig(const std::string& text,
                                                    const std::string& model);

// Of `versions`, from the lowest to the highest, those that a policy has serve.
std::vector<std::string> ChooseVersions(const VersionPolicy& policy,
                                        const std::vector<std::string>& versions);

struct VersionSettings {
  bool has_policy = false;  // else that of the server
  VersionPolicy policy;     // "versions": "all", "latest:N", or a list of versions
  std::string
      default_version;  // "default": a version or an alias; empty: the highest that is ready
  std::map<std::string, std::string, std::less<>> aliases;  // "aliases": to versions
  bool operator==(const VersionSettings&) const = default;

  // The version that requests without one get; empty: not said.
  std::string DefaultVersion() const;
};

inline constexpr std::string_view kVersionSettingsFile = "versions.json";

// Parses the file's text; every problem is named with its JSON path. INVALID_ARGUMENT.
absl::StatusOr<VersionSettings> ParseVersionSettings(const std::string& text);

// Reads <model_dir>/versions.json, without which all is at its default. INVALID_ARGUMENT with the
// file's path.
absl::StatusOr<VersionSettings> ReadVersionSettings(const std::string& model_dir);

}  // namespace pixpool
