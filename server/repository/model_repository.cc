#include "server/repository/model_repository.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/repository/errors.h"

namespace pixpool {
namespace {

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

}  // namespace

ModelRepository::ModelRepository(const RepositoryOptions& options, RepositoryDeps deps)
    : options_(options), deps_(std::move(deps)), folder_(options.models_dir) {
  if (auto policy = ParseVersionPolicy(options_.versions.value()); policy.ok()) {
    policy_ = *std::move(policy);
  }
}

absl::Status ModelRepository::Start() {
  PIXPOOL_ASSIGN_OR_RETURN(const ModelFolder::Found found, folder_.Find());
  if (found.models.empty()) return MayWait() ? absl::OkStatus() : NoModelIn(options_);
  for (const auto& [name, locations] : found.models) {
    Named& named = models_[name];
    const auto settings = folder_.Settings(name);
    if (!settings.ok()) continue;  // LoadFirst tells of it
    named.settings = *settings;
    EnterNew(&named, WantedOf(name, named, locations).versions);
    SetRoutes(name, &named);
  }
  return absl::OkStatus();
}

absl::Status ModelRepository::LoadFirst() {
  const absl::Status first_failure = Look(/*again=*/true);
  const auto ready = [](const ModelEntry& e) { return e.state == ModelState::kReady; };
  const std::vector<ModelEntry> all = deps_.registry->List();
  const bool none = std::none_of(all.begin(), all.end(), ready);
  const bool too_little = none && !MayWait();
  const bool may_fail = !options_.strict || (models_.empty() && MayWait());
  if (!may_fail || too_little) PIXPOOL_RETURN_IF_ERROR(first_failure);
  if (too_little && !closed_) return NoModelIn(options_);
  serving_ = true;
  return MakeRoom(0, 0, /*loaded=*/true);
}

std::string ModelRepository::loading() const {
  absl::MutexLock lock(&mu_);
  return loading_;
}

absl::Status ModelRepository::Look(bool again) {
  complaints_.BeginLook(/*anew=*/again);
  const absl::StatusOr<ModelFolder::Found> found = folder_.Find();
  if (!found.ok() || found->models.empty()) {
    const std::string why =
        found.ok() ? Concat("no model in ", folder_.dir()) : TextOf(found.status());
    return Complain("models_not_found", "", Concat(why, "; what serves serves on"));
  }
  absl::Status first_failure;
  for (const auto& [name, why] : found->refused) {
    first_failure.Update(Complain("model_folder_unreadable", name, why));
  }
  for (const auto& [name, locations] : found->models) {
    if (!unloaded(name)) first_failure.Update(Apply(name, locations, again));
  }
  for (auto it = models_.begin(); it != models_.end();) {
    auto& [name, named] = *it;
    if (closed_ || found->models.contains(name) || found->refused.contains(name)) {
      ++it;
      continue;
    }
    for (auto& [number, version] : named.versions) Retire(&version);
    it = models_.erase(it);
  }
  EndMoves();
  complaints_.EndLook();
  return first_failure;
}

void ModelRepository::EndMoves() {
  if (!std::exchange(moved_, false)) return;
  ReturnFreeMemory();  // what loading needed and serving does not
  if (serving_) ShareMemory();
  deps_.changed();
}

void ModelRepository::ShareMemory() {
  const absl::Status shared = MakeRoom(0, 0, /*loaded=*/true);  // it logs what it comes to
  if (!shared.ok()) Log(LogLevel::kError, "memory_too_little", {{"message", TextOf(shared)}});
}

absl::Status ModelRepository::MakeRoom(int64_t bytes, int64_t passes, bool loaded) {
  return deps_.share_memory({.bundle_bytes = LoadedBytes() + bytes,
                             .pass_bytes = leaving_.usual_bytes() + passes,
                             .loaded = loaded});
}

absl::Status ModelRepository::LoadModel(const std::string& name,
                                        const std::optional<VersionPolicy>& policy) {
  const auto failed = [&](const absl::Status& why) {
    return MakeError(ErrorReason::kModelNotLoaded,
                     folder_.WithoutPaths(ToStd(why.message()), name));
  };
  const absl::StatusOr<ModelFolder::Found> found = folder_.Find();
  if (!found.ok()) return failed(found.status());
  if (const auto refused = found->refused.find(name); refused != found->refused.end()) {
    return failed(absl::NotFoundError(refused->second));
  }
  const auto locations = found->models.find(name);
  if (locations == found->models.end()) return UnknownModel(name);
  Named& named = models_[name];
  const std::optional<VersionPolicy> before = std::exchange(named.ordered, policy);
  const absl::Status applied = Apply(name, locations->second, /*again=*/true);
  if (!applied.ok()) named.ordered = before;
  if (!applied.ok() && unloaded(name) && AnotherOf(named) == nullptr) {
    RetireModel(name);  // as before the order
  } else {
    ForgetUnloaded(name);
  }
  EndMoves();
  return applied.ok() || absl::IsUnavailable(applied) ? applied : failed(applied);
}

absl::Status ModelRepository::UnloadModel(const std::string& name) {
  const auto found = models_.find(name);
  if (found == models_.end()) return unloaded(name) ? absl::OkStatus() : UnknownModel(name);
  std::vector<BundleLocation> versions;
  for (const auto& [number, version] : found->second.versions) versions.push_back(version.at);
  if (versions.empty()) versions.push_back({.name = name, .version = "", .dir = ""});
  RetireModel(name);
  {
    absl::MutexLock lock(&mu_);
    unloaded_.insert(unloaded_.end(), versions.begin(), versions.end());
  }
  EndMoves();
  return absl::OkStatus();
}

void ModelRepository::LogWhatServes() const {
  int ready = 0;
  int not_ready = 0;
  for (const ModelEntry& entry : deps_.registry->List()) {
    ++(entry.state == ModelState::kReady && entry.message.empty() ? ready : not_ready);
  }
  Log(LogLevel::kInfo, "models_looked_at",
      {{"ready", ready}, {"refused", not_ready}, {"leaving", leaving_.count()}});
}

absl::Status ModelRepository::Apply(const std::string& name, const Locations& found, bool again) {
  if (closed_) return LoadsNoMore();
  Named& named = models_[name];
  const auto settings = folder_.Settings(name);
  if (!settings.ok()) return RefuseSettings(name, &named, found, settings.status());
  named.settings = *settings;
  const WantedVersions wanted = WantedOf(name, named, found);
  EnterNew(&named, wanted.versions);
  SetRoutes(name, &named);
  absl::Status status = wanted.status;
  if (!status.ok()) Complain("model_version_missing", name, TextOf(status)).IgnoreError();
  bool replaced = wanted.policy_met;  // all that takes the place of what serves, does
  for (const BundleLocation& at : wanted.versions) {
    if (closed_) return LoadsNoMore();
    const absl::Status loaded = Load(&named, at, again);
    if (!loaded.ok()) replaced = false;
    status.Update(loaded);
  }
  SetRoutes(name, &named);
  std::set<std::string> routed = {named.routes.default_version};
  for (const auto& [alias, version] : named.routes.aliases) routed.insert(version);
  std::set<std::string> stay;
  for (const BundleLocation& at : wanted.versions) stay.insert(at.version);
  for (auto it = named.versions.begin(); it != named.versions.end();) {
    auto& [number, version] = *it;
    const bool needed = version.model != nullptr && (!replaced || routed.contains(number));
    if (needed || stay.contains(number)) {
      ++it;
    } else {
      Retire(&version);
      it = named.versions.erase(it);
    }
  }
  TellDefault(name, &named);
  return status;
}

absl::Status ModelRepository::RefuseSettings(const std::string& name, Named* named,
                                             const Locations& found, const absl::Status& why) {
  for (const BundleLocation& at : found) {
    Version& version = named->versions[at.version];
    version.at = at;
    version.refused = kVersionSettingsFile;
    if (version.model == nullptr) {
      deps_.metrics->SetModel(name, at.version, "", "", "", /*ready=*/false, 0);
    }
    deps_.registry->SetFailed(name, at.version, folder_.WithoutPaths(ToStd(why.message()), name));
  }
  return Complain("model_settings_refused", name, TextOf(why));
}

WantedVersions ModelRepository::WantedOf(const std::string& name, const Named& named,
                                         const Locations& found) const {
  const VersionSettings& settings = named.settings;
  const VersionPolicy& own = settings.has_policy ? settings.policy : policy_;
  return ChooseWanted(name, settings, named.ordered ? *named.ordered : own, found);
}

void ModelRepository::EnterNew(Named* named, const Locations& wanted) {
  for (const BundleLocation& at : wanted) {
    const auto [entry, first] = named->versions.try_emplace(at.version);
    if (!first) continue;
    entry->second.at = at;
    deps_.registry->AddLoading(at.name, at.version);
    deps_.metrics->SetModel(at.name, at.version, "", "", "", /*ready=*/false, 0);
  }
}

absl::Status ModelRepository::Load(Named* named, const BundleLocation& at, bool again) {
  Version& version = named->versions[at.version];
  version.at = at;
  const std::string content = ContentOf(at.dir);
  if (version.model != nullptr && version.content == content) {
    // As before something else that could not be loaded.
    if (!version.refused.empty()) deps_.registry->SetFailed(at.name, at.version, "");
    version.refused.clear();
    return absl::OkStatus();
  }
  const BundleFiles files = LookAtFiles(at.dir);
  if (!again && version.refused == files.stamp) return version.failure;
  moved_ = true;
  SetLoading(Concat(at.name, " ", at.version));
  const absl::Cleanup loaded = [this] { SetLoading(""); };
  deps_.registry->AddLoading(at.name, at.version);
  if (version.model == nullptr) {
    deps_.metrics->SetModel(at.name, at.version, "", "", "", /*ready=*/false, 0);
  }
  const TimePoint start = deps_.clock->Now();
  std::shared_ptr<Model> model;
  int64_t bytes = files.bytes;
  bool lacks_room = false;
  const absl::Status status = Guarded("load_failed", "the model could not be loaded", [&] {
    // While nothing serves, all can be measured.
    const Model* const like = serving_ ? AnotherOf(*named) : nullptr;
    // Room for it beside all that is there, before it is taken; once more where it is another one.
    lacks_room = serving_;
    if (like != nullptr) bytes = BytesInUse(at.dir, like->info());
    const int64_t passes = like == nullptr ? 0 : like->UsualBytes();
    if (serving_) PIXPOOL_RETURN_IF_ERROR(MakeRoom(bytes, passes, /*loaded=*/false));
    lacks_room = false;
    PIXPOOL_ASSIGN_OR_RETURN(model, deps_.load(at, like));
    bytes = BytesInUse(at.dir, model->info());
    if (!serving_ || like != nullptr) return absl::OkStatus();
    ReturnFreeMemory();
    lacks_room = true;
    return MakeRoom(bytes, model->UsualBytes(), /*loaded=*/true);
  });
  deps_.metrics->ModelLoaded(status.ok());
  if (!status.ok()) {
    lacked_ |= lacks_room || absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
    version.refused = files.stamp;
    version.failure = Refuse(version, status);
    return version.failure;
  }
  Version before = std::exchange(
      version, {.at = at, .content = content, .model = std::move(model), .bytes = bytes});
  const ModelInfo& info = version.model->info();
  const double seconds = ToSeconds(deps_.clock->Now() - start);
  deps_.metrics->SetModel(at.name, at.version, info.engine, info.device, info.precision, true,
                          seconds);
  Log(LogLevel::kInfo, "model_ready",
      {{"model", at.name},
       {"version", at.version},
       {"engine", info.engine},
       {"device", info.device},
       {"instances", version.model->instance_count()},
       {"seconds", seconds}});
  version.use = deps_.registry->SetReady(at.name, at.version, version.model);
  if (before.model != nullptr) Leave(&before);
  deps_.changed();
  return absl::OkStatus();
}

absl::Status ModelRepository::Refuse(const Version& version, const absl::Status& why) {
  const BundleLocation& at = version.at;
  std::vector<LogField> fields = {
      {"model", at.name}, {"version", at.version}, {"message", TextOf(why)}};
  if (version.model != nullptr) fields.emplace_back("serves", "what was loaded before");
  Log(LogLevel::kError, "model_failed", fields);
  deps_.registry->SetFailed(at.name, at.version,
                            folder_.WithoutPaths(ToStd(why.message()), at.name));
  return absl::FailedPreconditionError(
      Concat("model ", at.name, " version ", at.version, ": ", why.message()));
}

void ModelRepository::SetRoutes(const std::string& name, Named* named) {
  std::set<std::string> ready;
  for (const auto& [number, version] : named->versions) {
    if (version.model != nullptr) ready.insert(number);
  }
  named->routes = ChooseRoutes(named->settings, named->routes, ready);
  deps_.registry->SetRoutes(name, named->routes);
}

void ModelRepository::TellDefault(const std::string& name, Named* named) {
  const auto entry = deps_.registry->Find(name, "");
  if (!entry.ok() || entry->state != ModelState::kReady) return;
  if (std::exchange(named->default_version, entry->version) == entry->version) return;
  Log(LogLevel::kInfo, "model_default", {{"model", name}, {"version", entry->version}});
}

void ModelRepository::Retire(Version* version) {
  const BundleLocation& at = version->at;
  moved_ = true;
  deps_.registry->Remove(at.name, at.version);
  deps_.metrics->DropModel(at.name, at.version);
  if (version->model == nullptr) return;
  Log(LogLevel::kInfo, "model_leaving", {{"model", at.name}, {"version", at.version}});
  Leave(version);
}

void ModelRepository::Leave(Version* version) {
  leaving_.Add({.at = version->at,
                .model = std::move(version->model),
                .use = version->use,
                .bytes = version->bytes,
                .since = deps_.clock->Now()});
}

void ModelRepository::RetireModel(const std::string& name) {
  const auto found = models_.find(name);
  for (auto& [number, version] : found->second.versions) Retire(&version);
  models_.erase(found);
}

bool ModelRepository::FreeWhatIsLeft() {
  const bool freed = leaving_.Free(deps_.forget, deps_.clock->Now());
  deps_.metrics->SetModelsLeaving(leaving_.count());
  if (!freed) return false;
  ReturnFreeMemory();
  ShareMemory();
  return std::exchange(lacked_, false);
}

int64_t ModelRepository::LoadedBytes() const {
  int64_t bytes = leaving_.bytes();
  for (const auto& [name, named] : models_) {
    for (const auto& [number, version] : named.versions) bytes += version.bytes;
  }
  return bytes;
}

const Model* ModelRepository::AnotherOf(const Named& named) const {
  for (const auto& [number, version] : named.versions) {
    if (version.model != nullptr) return version.model.get();
  }
  return nullptr;
}

void ModelRepository::SetLoading(std::string what) {
  absl::MutexLock lock(&mu_);
  loading_ = std::move(what);
}

absl::Status ModelRepository::Complain(std::string_view event, const std::string& key,
                                       const std::string& message) {
  if (complaints_.IsNew(Concat(event, " ", key), message)) {
    Log(LogLevel::kWarning, event, {{"model", key}, {"message", message}});
  }
  return absl::FailedPreconditionError(message);
}

bool ModelRepository::unloaded(const std::string& name) const {
  const std::vector<BundleLocation> all = Unloaded();
  return std::any_of(all.begin(), all.end(),
                     [&](const BundleLocation& at) { return at.name == name; });
}

void ModelRepository::ForgetUnloaded(const std::string& name) {
  absl::MutexLock lock(&mu_);
  std::erase_if(unloaded_, [&](const BundleLocation& at) { return at.name == name; });
}

std::vector<BundleLocation> ModelRepository::Unloaded() const {
  absl::MutexLock lock(&mu_);
  return unloaded_;
}

}  // namespace pixpool
