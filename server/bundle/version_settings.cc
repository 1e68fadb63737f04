#include "server/bundle/version_settings.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <filesystem>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "server/base/named_file.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/bundle/json_reader.h"

namespace pixpool {
namespace {

using nlohmann::json;

constexpr std::string_view kPolicies = "must be \"all\", \"latest\" or \"latest:N\" with N from 1";

void ReadPolicy(const json& value, JsonProblems* problems, VersionSettings* out) {
  constexpr std::string_view kPath = "$.versions";
  out->has_policy = true;
  if (value.is_string()) {
    absl::StatusOr<VersionPolicy> policy = ParseVersionPolicy(value.get<std::string>());
    if (policy.ok()) {
      out->policy = *std::move(policy);
    } else {
      problems->Add(kPath, Concat(policy.status().message(), ", or a list of versions"));
    }
    return;
  }
  const auto is_name = [](const json& name) {
    return name.is_string() && !name.get_ref<const std::string&>().empty();
  };
  if (!value.is_array() || value.empty() || !std::all_of(value.begin(), value.end(), is_name)) {
    return problems->Add(kPath, Concat(kPolicies, ", or a list of versions, which are texts"));
  }
  out->policy.named = value.get<std::vector<std::string>>();
}

void ReadAliases(const json& value, JsonProblems* problems, VersionSettings* out) {
  constexpr std::string_view kPath = "$.aliases";
  if (!value.is_object()) return problems->Add(kPath, "must be an object of alias to version");
  for (const auto& [alias, version] : value.items()) {
    const std::string path = Concat(kPath, ".", alias);
    if (alias.empty()) {
      problems->Add(kPath, "an alias must not be empty");
    } else if (!version.is_string() || version.get_ref<const std::string&>().empty()) {
      problems->Add(path, "must be a version, which is a text");
    } else if (value.contains(version.get_ref<const std::string&>())) {
      problems->Add(path, "must be a version and not another alias");
    } else {
      out->aliases[alias] = version.get<std::string>();
    }
  }
}

}  // namespace

absl::StatusOr<VersionPolicy> ParseVersionPolicy(std::string_view text) {
  constexpr std::string_view kLatest = "latest";
  if (text == "all") return VersionPolicy{};
  if (text == kLatest) return VersionPolicy{.latest = 1};
  VersionPolicy policy;
  const bool counted = text.starts_with("latest:") &&
                       absl::SimpleAtoi(ToAbsl(text.substr(kLatest.size() + 1)), &policy.latest);
  if (counted && policy.latest > 0) return policy;
  return absl::InvalidArgumentError(ToAbsl(kPolicies));
}

absl::StatusOr<VersionPolicy> VersionPolicyOfConfig(const std::string& text,
                                                    const std::string& model) {
  const auto wrong = [](std::string_view what) {
    return absl::InvalidArgumentError(
        Concat(what, "; such as {\"version_policy\": {\"specific\": {\"versions\": [1, 3]}}}, ",
               "{\"latest\": {\"num_versions\": 2}} or {\"all\": {}}"));
  };
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return wrong("is not a JSON object");
  for (const auto& [key, value] : document.items()) {
    if (key != "version_policy" && key != "name") {
      return wrong(Concat("has ", key, ", which comes with the bundle: version_policy can be set"));
    }
    if (key == "name" && value != json(model)) {
      return wrong("has a name that is not model_name: leave it out, or write it alike");
    }
  }
  const auto found = document.find("version_policy");
  if (found == document.end() || !found->is_object() || found->size() != 1) {
    return wrong("needs a version_policy with one of specific, latest and all");
  }
  const json& value = *found->begin();
  const std::string& kind = found->begin().key();
  VersionPolicy policy;
  if (!value.is_object()) return wrong(Concat("version_policy.", kind, " must be an object"));
  if (kind == "all") return policy;
  if (kind == "latest") {
    const json count = value.value("num_versions", json(1));
    if (!count.is_number_integer() || count.get<int64_t>() < 1 || count.get<int64_t>() > INT_MAX) {
      return wrong("version_policy.latest.num_versions must be 1 at least");
    }
    policy.latest = count.get<int>();
    return policy;
  }
  const json versions = value.value("versions", json::array());
  if (kind != "specific" || !versions.is_array() || versions.empty()) {
    return wrong("version_policy must be one of specific, with versions, latest and all");
  }
  for (const json& version : versions) {
    if (!version.is_string() && !version.is_number_integer()) {
      return wrong("version_policy.specific.versions must be numbers or texts");
    }
    policy.named.push_back(version.is_string() ? version.get<std::string>() : version.dump());
  }
  return policy;
}

std::vector<std::string> ChooseVersions(const VersionPolicy& policy,
                                        const std::vector<std::string>& versions) {
  std::vector<std::string> chosen = versions;
  if (!policy.named.empty()) {
    std::erase_if(chosen, [&](const std::string& version) {
      return std::find(policy.named.begin(), policy.named.end(), version) == policy.named.end();
    });
  } else if (policy.latest > 0 && versions.size() > static_cast<size_t>(policy.latest)) {
    chosen.erase(chosen.begin(), chosen.end() - policy.latest);
  }
  return chosen;
}

std::string VersionSettings::DefaultVersion() const {
  const auto alias = aliases.find(default_version);
  return alias == aliases.end() ? default_version : alias->second;
}

absl::StatusOr<VersionSettings> ParseVersionSettings(const std::string& text) {
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return absl::InvalidArgumentError("is not a JSON object");
  VersionSettings settings;
  JsonProblems problems;
  for (const auto& [key, value] : document.items()) {
    if (key == "versions") {
      ReadPolicy(value, &problems, &settings);
    } else if (key == "aliases") {
      ReadAliases(value, &problems, &settings);
    } else if (key == "default") {
      settings.default_version = JsonObject(&document, "$", &problems).Text(key);
    } else {
      problems.Add(Concat("$.", key), "is not known; there are versions, default and aliases");
    }
  }
  if (problems.list.empty()) return settings;
  return absl::InvalidArgumentError(absl::StrJoin(problems.list, "; "));
}

absl::StatusOr<VersionSettings> ReadVersionSettings(const std::string& model_dir) {
  const std::filesystem::path path = std::filesystem::path(model_dir) / kVersionSettingsFile;
  std::error_code error;
  if (std::filesystem::symlink_status(path, error).type() ==
      std::filesystem::file_type::not_found) {
    return VersionSettings{};
  }
  const auto wrong = [&path](const absl::Status& why) {
    return absl::InvalidArgumentError(Concat(path.string(), ": ", why.message()));
  };
  const absl::StatusOr<std::string> text = ReadNamedFile(path.string());
  if (!text.ok()) return wrong(text.status());
  absl::StatusOr<VersionSettings> settings = ParseVersionSettings(*text);
  if (!settings.ok()) return wrong(settings.status());
  return settings;
}

}  // namespace pixpool
