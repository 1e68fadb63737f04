#include "server/pipeline/model_registry.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// A client's text as it may appear in a message.
std::string Quoted(std::string_view text) {
  constexpr size_t kMaxShown = 100;
  return Concat("\"", absl::Utf8SafeCHexEscape(ToAbsl(text.substr(0, kMaxShown))),
                text.size() > kMaxShown ? "..." : "", "\"");
}

// At most `max` bytes, but no part of a character: clients refuse strings that are not UTF-8.
size_t Utf8Length(std::string_view text, size_t max) {
  if (text.size() <= max) return text.size();
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0) == 0x80) --max;
  return max;
}

absl::Status NotFound(std::string_view field, std::string_view value, std::string_view message) {
  ErrorDetails details;
  details.reason = ErrorReason::kModelNotFound;
  details.field = std::string(field);
  details.metadata = {{std::string(field), std::string(value.substr(0, Utf8Length(value, 100)))}};
  return MakeError(details, message);
}

bool IsNumber(const std::string& version) {
  return !version.empty() && std::all_of(version.begin(), version.end(), absl::ascii_isdigit);
}

// Digits from the first that is not zero.
size_t SignificantDigits(const std::string& number) {
  const size_t zeros = number.find_first_not_of('0');
  return zeros == number.npos ? 0 : number.size() - zeros;
}

// Whether `a` is the older version: numbers by value and before words, words by their letters.
bool OlderVersion(const std::string& a, const std::string& b) {
  const bool a_number = IsNumber(a);
  if (a_number != IsNumber(b)) return a_number;
  if (!a_number) return a < b;
  const size_t a_digits = SignificantDigits(a);
  const size_t b_digits = SignificantDigits(b);
  if (a_digits != b_digits) return a_digits < b_digits;
  const int order = a.compare(a.size() - a_digits, a_digits, b, b.size() - b_digits, b_digits);
  return order != 0 ? order < 0 : a < b;
}

// The row of a version among its name's versions, which stay sorted; made if it is not there.
ModelEntry& Row(std::vector<ModelEntry>& versions, const std::string& name,
                const std::string& version) {
  const auto at = std::lower_bound(
      versions.begin(), versions.end(), version,
      [](const ModelEntry& entry, const std::string& v) { return OlderVersion(entry.version, v); });
  if (at != versions.end() && at->version == version) return *at;
  ModelEntry entry;
  entry.name = name;
  entry.version = version;
  return *versions.insert(at, std::move(entry));
}

}  // namespace

void ModelRegistry::AddLoading(const std::string& name, const std::string& version) {
  absl::MutexLock lock(&mu_);
  ModelEntry& row = Row(models_[name], name, version);
  row.state = ModelState::kLoading;
  row.message.clear();
  row.loaded = nullptr;
}

void ModelRegistry::SetReady(const std::string& name, const std::string& version,
                             std::unique_ptr<Model> model) {
  auto loaded = std::make_shared<LoadedModel>();
  loaded->model = std::move(model);
  if (metrics_ != nullptr) loaded->metrics = metrics_->OfModel(name, version);
  absl::MutexLock lock(&mu_);
  ModelEntry& row = Row(models_[name], name, version);
  row.state = ModelState::kReady;
  row.message.clear();
  row.loaded = std::move(loaded);
}

void ModelRegistry::SetFailed(const std::string& name, const std::string& version,
                              const std::string& message) {
  absl::MutexLock lock(&mu_);
  ModelEntry& row = Row(models_[name], name, version);
  row.state = ModelState::kFailed;
  row.message = message;
  row.loaded = nullptr;
}

absl::StatusOr<ModelEntry> ModelRegistry::Find(std::string_view name,
                                               std::string_view version) const {
  absl::MutexLock lock(&mu_);
  if (models_.empty()) return NotFound("model", name, "the server has no model");
  if (name.empty()) {
    name = default_model_.empty() ? std::string_view(models_.begin()->first) : default_model_;
  }
  const auto found = models_.find(name);
  if (found == models_.end()) {
    return NotFound(
        "model", name,
        Concat("there is no model ", Quoted(name), "; ListModels names those there are"));
  }
  const std::vector<ModelEntry>& versions = found->second;
  if (version.empty()) return versions.back();
  for (const ModelEntry& entry : versions) {
    if (entry.version == version) return entry;
  }
  const auto put_version = [](std::string* out, const ModelEntry& entry) { *out += entry.version; };
  return NotFound("model_version", version,
                  Concat("model ", Quoted(name), " has no version ", Quoted(version),
                         "; it has: ", absl::StrJoin(versions, ", ", put_version)));
}

absl::StatusOr<std::shared_ptr<const LoadedModel>> ModelRegistry::Get(
    std::string_view name, std::string_view version) const {
  absl::StatusOr<ModelEntry> entry = Find(name, version);
  if (!entry.ok()) return entry.status();
  if (entry->state == ModelState::kReady) return entry->loaded;
  ErrorDetails details;
  details.reason = ErrorReason::kModelLoading;
  details.field = "model";
  details.metadata = {{"model", entry->name}, {"model_version", entry->version}};
  if (entry->state == ModelState::kLoading) {
    details.retry_after = absl::Seconds(1);
    return MakeError(details, Concat("model ", Quoted(entry->name), " is still loading"));
  }
  return MakeError(details,
                   Concat("model ", Quoted(entry->name), " could not be loaded: ", entry->message));
}

std::vector<ModelEntry> ModelRegistry::List() const {
  absl::MutexLock lock(&mu_);
  std::vector<ModelEntry> all;
  for (const auto& [name, versions] : models_) {
    all.insert(all.end(), versions.begin(), versions.end());
  }
  return all;
}

bool ModelRegistry::AllReady() const {
  absl::MutexLock lock(&mu_);
  for (const auto& [name, versions] : models_) {
    for (const ModelEntry& entry : versions) {
      if (entry.state != ModelState::kReady) return false;
    }
  }
  return !models_.empty();
}

}  // namespace pixpool
