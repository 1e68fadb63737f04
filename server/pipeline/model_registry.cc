#include "server/pipeline/model_registry.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/text.h"
#include "server/pipeline/options.h"

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

// The version that requests without one get.
const ModelEntry* DefaultOf(const std::vector<ModelEntry>& versions) {
  for (auto it = versions.rbegin(); it != versions.rend(); ++it) {
    if (TakesCalls(it->state)) return &*it;
  }
  return &versions.back();
}

const ModelEntry* FindVersion(const std::vector<ModelEntry>& versions, std::string_view version) {
  for (const ModelEntry& entry : versions) {
    if (entry.version == version) return &entry;
  }
  return nullptr;
}

// "1, 2, stable (1)"
std::string VersionsText(const std::vector<ModelEntry>& versions, const ModelRoutes& routes) {
  std::vector<std::string> names;
  for (const ModelEntry& entry : versions) names.push_back(entry.version);
  for (const auto& [alias, version] : routes.aliases) {
    names.push_back(Concat(alias, " (", version, ")"));
  }
  return absl::StrJoin(names, ", ");
}

// Null: there is none.
template <typename Models>
ModelEntry* FindRow(Models& models, const std::string& name, const std::string& version) {
  const auto found = models.find(name);
  if (found == models.end()) return nullptr;
  for (ModelEntry& entry : found->second.versions) {
    if (entry.version == version) return &entry;
  }
  return nullptr;
}

// What calls do not need to know of an idle model goes.
ModelInfo WithoutNumbers(ModelInfo info) {
  for (std::shared_ptr<const Projection>& projection : info.projections) {
    auto bare = std::make_shared<Projection>(*projection);
    bare->mean = {};
    bare->columns = {};
    projection = std::move(bare);
  }
  return info;
}

// Why a version serves no request now.
absl::Status NotServing(const ModelEntry& entry) {
  ErrorDetails details;
  details.reason = ErrorReason::kModelLoading;
  details.field = "model";
  details.metadata = {{"model", entry.name}, {"model_version", entry.version}};
  if (entry.state == ModelState::kFailed) {
    return MakeError(details,
                     Concat("model ", Quoted(entry.name), " could not be loaded: ", entry.message));
  }
  details.retry_after = absl::Seconds(1);
  return MakeError(details, Concat("model ", Quoted(entry.name), " is still loading"));
}

}  // namespace

ModelRegistry::ModelRegistry(std::string default_model, Metrics* metrics)
    : default_model_(std::move(default_model)),
      metrics_(metrics),
      models_(std::make_shared<const Models>()) {}

std::shared_ptr<const ModelRegistry::Models> ModelRegistry::models() const {
  absl::MutexLock lock(&mu_);
  return models_;
}

template <typename Change>
void ModelRegistry::Update(const Change& change) {
  // Perhaps the last to hold a version: freed without the lock.
  std::shared_ptr<const Models> before;
  absl::MutexLock lock(&mu_);
  auto changed = std::make_shared<Models>(*models_);
  change(*changed);
  before = std::exchange(models_, std::move(changed));
}

void ModelRegistry::AddLoading(const std::string& name, const std::string& version) {
  Update([&](Models& models) {
    ModelEntry& row = Row(models[name].versions, name, version);
    if (TakesCalls(row.state)) return;
    row.state = ModelState::kLoading;
    row.message.clear();
  });
}

std::weak_ptr<const LoadedModel> ModelRegistry::SetReady(const std::string& name,
                                                         const std::string& version,
                                                         std::shared_ptr<Model> model) {
  static std::atomic<uint64_t> loads = 0;
  const auto loaded = std::make_shared<const LoadedModel>(
      LoadedModel{.model = std::move(model),
                  .metrics = metrics_ == nullptr ? nullptr : metrics_->OfModel(name, version),
                  .calls = std::make_shared<std::atomic<int64_t>>(0),
                  .number = ++loads});
  Update([&](Models& models) {
    ModelEntry& row = Row(models[name].versions, name, version);
    row.state = ModelState::kReady;
    row.message.clear();
    row.loaded = loaded;
    row.idle = nullptr;
  });
  return loaded;
}

void ModelRegistry::SetFailed(const std::string& name, const std::string& version,
                              const std::string& message) {
  Update([&](Models& models) {
    ModelEntry& row = Row(models[name].versions, name, version);
    if (!TakesCalls(row.state)) row.state = ModelState::kFailed;
    row.message = message;
  });
}

void ModelRegistry::SetIdle(const std::string& name, const std::string& version) {
  Update([&](Models& models) {
    ModelEntry* const row = FindRow(models, name, version);
    if (row == nullptr || row->loaded == nullptr) return;
    row->state = ModelState::kIdle;
    row->idle = std::make_shared<const IdleModel>(
        IdleModel{WithoutNumbers(row->loaded->info()), row->loaded->metrics});
    row->loaded = nullptr;
  });
}

void ModelRegistry::EndIdle(const std::string& name, const std::string& version) {
  Update([&](Models& models) {
    ModelEntry* const row = FindRow(models, name, version);
    if (row == nullptr || row->state != ModelState::kIdle) return;
    row->state = ModelState::kLoading;
    row->idle = nullptr;
  });
}

void ModelRegistry::Remove(const std::string& name, const std::string& version) {
  Update([&](Models& models) {
    const auto found = models.find(name);
    if (found == models.end()) return;
    std::erase_if(found->second.versions,
                  [&](const ModelEntry& entry) { return entry.version == version; });
    if (found->second.versions.empty()) models.erase(found);
  });
}

void ModelRegistry::SetRoutes(const std::string& name, const ModelRoutes& routes) {
  Update([&](Models& models) {
    if (const auto found = models.find(name); found != models.end()) found->second.routes = routes;
  });
}

absl::StatusOr<const ModelEntry*> ModelRegistry::Lookup(const Models& models, std::string_view name,
                                                        std::string_view version) const {
  if (models.empty()) return NotFound("model", name, "the server has no model");
  if (name.empty()) name = default_model_;
  if (name.empty()) {
    if (models.size() > 1) {
      const auto put_name = [](std::string* out, const auto& model) { *out += model.first; };
      return NotFound("model", name,
                      Concat("the request names no model and the server has several: ",
                             absl::StrJoin(models, ", ", put_name),
                             "; name one, or have the server started with ",
                             RegistryOptions::kDefaultModel.flag));
    }
    name = models.begin()->first;
  }
  const auto found = models.find(name);
  if (found == models.end()) {
    return NotFound(
        "model", name,
        Concat("there is no model ", Quoted(name), "; ListModels names those there are"));
  }
  const auto& [versions, routes] = found->second;
  if (version.empty() && routes.default_version.empty()) return DefaultOf(versions);
  const std::string_view asked =
      version.empty() ? std::string_view(routes.default_version) : version;
  std::string_view wanted = asked;
  // A version goes before an alias of its name.
  if (const ModelEntry* const entry = FindVersion(versions, wanted)) return entry;
  if (const auto alias = routes.aliases.find(wanted); alias != routes.aliases.end()) {
    wanted = alias->second;
    if (const ModelEntry* const entry = FindVersion(versions, wanted)) return entry;
  }
  return NotFound("model_version", version,
                  Concat("model ", Quoted(name), " has no version ", Quoted(asked),
                         version.empty() ? ", which is its default" : "",
                         wanted == asked ? "" : Concat(", which stands for ", Quoted(wanted)),
                         "; it has: ", VersionsText(versions, routes)));
}

absl::StatusOr<ModelEntry> ModelRegistry::Find(std::string_view name,
                                               std::string_view version) const {
  const std::shared_ptr<const Models> now = models();
  const absl::StatusOr<const ModelEntry*> entry = Lookup(*now, name, version);
  if (!entry.ok()) return entry.status();
  return **entry;
}

absl::StatusOr<ModelEntry> ModelRegistry::FindServing(std::string_view name,
                                                      std::string_view version) const {
  absl::StatusOr<ModelEntry> entry = Find(name, version);
  if (entry.ok() && !TakesCalls(entry->state)) return NotServing(*entry);
  return entry;
}

absl::StatusOr<std::shared_ptr<const LoadedModel>> ModelRegistry::Get(std::string_view name,
                                                                      std::string_view version,
                                                                      ModelKey* idle) const {
  const std::shared_ptr<const Models> now = models();
  const absl::StatusOr<const ModelEntry*> found = Lookup(*now, name, version);
  if (!found.ok()) return found.status();
  const ModelEntry& entry = **found;
  if (entry.state == ModelState::kReady) {
    entry.loaded->calls->fetch_add(1, std::memory_order_relaxed);
    return entry.loaded;
  }
  if (entry.state == ModelState::kIdle && idle != nullptr) *idle = {entry.name, entry.version};
  return NotServing(entry);
}

std::vector<ModelEntry> ModelRegistry::List() const {
  const std::shared_ptr<const Models> now = models();
  std::vector<ModelEntry> all;
  for (const auto& [name, named] : *now) {
    all.insert(all.end(), named.versions.begin(), named.versions.end());
  }
  return all;
}

bool ModelRegistry::AnyReady() const {
  const std::shared_ptr<const Models> now = models();
  return std::any_of(now->begin(), now->end(), [&](const auto& model) {
    const auto& [name, named] = model;
    const auto ready = [](const ModelEntry& e) { return TakesCalls(e.state); };
    // One whose default is not there does not count: calls that name no version get nothing.
    return std::any_of(named.versions.begin(), named.versions.end(), ready) &&
           Lookup(*now, name, "").ok();
  });
}

}  // namespace pixpool
