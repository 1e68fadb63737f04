#include "server/repository/model_versions.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "server/base/guarded.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// Before a version that was idle and could not be loaded is tried again: at first, and at most.
constexpr std::chrono::seconds kFirstPause(5);
constexpr std::chrono::minutes kLongestPause(5);

// Of a bundle whose files change while it is loaded.
constexpr int kMostTries = 3;

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

// A model of which passes may be taken for those of another version.
const Model* AnotherOf(const ModelVersions& versions) {
  for (const auto& [number, version] : versions) {
    if (version.model != nullptr) return version.model.get();
  }
  return nullptr;
}

}  // namespace

void VersionLoader::EnterNew(ModelVersions* versions, const ModelFolder::Locations& wanted) {
  for (const BundleLocation& at : wanted) {
    const auto [entry, first] = versions->try_emplace(at.version);
    if (!first) continue;
    entry->second.at = at;
    deps_.registry->AddLoading(at.name, at.version);
    deps_.metrics->SetModel(at.name, at.version, "", "", "", /*ready=*/false, 0);
  }
}

absl::Status VersionLoader::Load(ModelVersions* versions, const BundleLocation& at,
                                 LoadReach reach) {
  ModelVersion& version = (*versions)[at.version];
  version.at = at;
  std::string content = ContentOf(at.dir);
  const bool needed = version.idle && reach == LoadReach::kIdle;
  if (version.serves() && version.content == content && !needed) {
    // As before something else that could not be loaded.
    if (!version.refused.empty()) deps_.registry->SetFailed(at.name, at.version, "");
    version.refused.clear();
    return absl::OkStatus();
  }
  BundleFiles files = LookAtFiles(at.dir);
  if (reach == LoadReach::kNew && version.refused == files.stamp) return version.failure;
  moved_ = true;
  SetLoading(Concat(at.name, " ", at.version));
  const absl::Cleanup loaded = [this] { SetLoading(""); };
  deps_.registry->AddLoading(at.name, at.version);
  if (!version.serves()) {
    deps_.metrics->SetModel(at.name, at.version, "", "", "", /*ready=*/false, 0);
  }
  const TimePoint start = deps_.clock->Now();
  std::shared_ptr<Model> model;
  int64_t bytes = MostBytesInUse(at.dir);
  bool lacks_room = false;
  const absl::Status status = Guarded("load_failed", "the model could not be loaded", [&] {
    // While nothing serves, all can be measured.
    const Model* const like = serving_ ? AnotherOf(*versions) : nullptr;
    // Room for it beside all that is there, before it is taken; once more where it is another one.
    lacks_room = serving_;
    int64_t passes = 0;
    if (version.idle && version.content == content) {
      bytes = version.idle_bytes;
      passes = version.idle_passes;
    } else if (like != nullptr) {
      bytes = BytesInUse(at.dir, like->info());
      passes = like->UsualBytes();
    }
    if (serving_) PIXPOOL_RETURN_IF_ERROR(MakeRoom(bytes, passes, /*loaded=*/false));
    lacks_room = false;
    PIXPOOL_ASSIGN_OR_RETURN(model, LoadWhole(at, like, &files, &content));
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
    version.failure = Refuse(&version, status);
    return version.failure;
  }
  ModelVersion before =
      std::exchange(version, {.at = at, .content = content, .model = std::move(model)});
  version.bytes = bytes;
  loaded_bytes_ += bytes;
  version.last_used = deps_.clock->Now();
  const ModelInfo& info = version.model->info();
  const double seconds = ToSeconds(version.last_used - start);
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

absl::StatusOr<std::unique_ptr<Model>> VersionLoader::LoadWhole(const BundleLocation& at,
                                                                const Model* like,
                                                                BundleFiles* files,
                                                                std::string* content) {
  for (int tries = 0; tries < kMostTries; ++tries) {
    absl::StatusOr<std::unique_ptr<Model>> model = deps_.load(at, like);
    BundleFiles now = LookAtFiles(at.dir);
    if (now.stamp == files->stamp) return model;
    *files = std::move(now);
    *content = ContentOf(at.dir);
  }
  return absl::UnavailableError(
      Concat("bundle ", at.dir,
             ": its files change while it is loaded; put it in place whole, as "
             "mv does"));
}

absl::Status VersionLoader::Refuse(ModelVersion* version, const absl::Status& why) {
  const BundleLocation& at = version->at;
  if (version->idle || version->lost) {
    version->lost = true;
    version->pause = std::clamp<TimeDuration>(2 * version->pause, kFirstPause, kLongestPause);
    version->try_again = deps_.clock->Now() + version->pause;
  }
  if (std::exchange(version->idle, false)) {
    deps_.registry->EndIdle(at.name, at.version);
    deps_.metrics->SetModel(at.name, at.version, "", "", "", /*ready=*/false, 0);
  }
  std::vector<LogField> fields = {
      {"model", at.name}, {"version", at.version}, {"message", TextOf(why)}};
  if (version->model != nullptr) fields.emplace_back("serves", "what was loaded before");
  Log(LogLevel::kError, "model_failed", fields);
  deps_.registry->SetFailed(at.name, at.version,
                            folder_->WithoutPaths(ToStd(why.message()), at.name));
  return absl::FailedPreconditionError(
      Concat("model ", at.name, " version ", at.version, ": ", why.message()));
}

void VersionLoader::Retire(ModelVersion* version) {
  const BundleLocation& at = version->at;
  moved_ = true;
  deps_.registry->Remove(at.name, at.version);
  deps_.metrics->DropModel(at.name, at.version);
  if (version->model == nullptr) return;
  Log(LogLevel::kInfo, "model_leaving", {{"model", at.name}, {"version", at.version}});
  Leave(version);
}

void VersionLoader::Leave(ModelVersion* version) {
  loaded_bytes_ -= version->bytes;
  leaving_.Add({.at = version->at,
                .model = std::move(version->model),
                .use = version->use,
                .bytes = std::exchange(version->bytes, 0),
                .since = deps_.clock->Now()});
}

void VersionLoader::UnloadIfIdle(ModelVersion* version) {
  if (idle_after_ == idle_after_.zero()) return;
  const std::shared_ptr<const LoadedModel> loaded = version->use.lock();
  if (version->model == nullptr || loaded == nullptr) return;
  const TimePoint now = deps_.clock->Now();
  const int64_t calls = loaded->calls->load(std::memory_order_relaxed);
  if (std::exchange(version->calls, calls) != calls) version->last_used = now;
  const TimeDuration unused = now - version->last_used;
  if (unused < idle_after_) return;
  version->last_used = now;  // where it stays
  // Besides the registry and this function, calls have it.
  if (loaded.use_count() > 2 || !CanComeBack(*version)) return;
  const BundleLocation& at = version->at;
  Log(LogLevel::kInfo, "model_idle",
      {{"model", at.name}, {"version", at.version}, {"seconds", ToSeconds(unused)}});
  version->idle = true;
  version->idle_bytes = version->bytes;
  version->idle_passes = version->model->UsualBytes();
  deps_.registry->SetIdle(at.name, at.version);
  deps_.metrics->ModelIdle(at.name, at.version);
  Leave(version);
}

bool VersionLoader::CanComeBack(const ModelVersion& version) const {
  const BundleLocation& at = version.at;
  const bool same = ContentOf(at.dir) == version.content &&
                    BytesInUse(at.dir, version.model->info()) == version.bytes;
  if (!same) {
    Log(LogLevel::kWarning, "model_stays",
        {{"model", at.name},
         {"version", at.version},
         {"message",
          "no call uses it, but its files are not those that it was loaded from, so that it could "
          "not come back"}});
  }
  return same;
}

bool VersionLoader::IsDue(const ModelVersion& version) const {
  return version.lost && deps_.clock->Now() >= version.try_again;
}

bool VersionLoader::FreeWhatIsLeft() {
  const bool freed = leaving_.Free(deps_.forget, deps_.clock->Now());
  deps_.metrics->SetModelsLeaving(leaving_.count());
  if (!freed) return false;
  ReturnFreeMemory();
  ShareMemory();
  return std::exchange(lacked_, false);
}

void VersionLoader::EndMoves() {
  if (!std::exchange(moved_, false)) return;
  ReturnFreeMemory();  // what loading needed and serving does not
  if (serving_) ShareMemory();
  deps_.changed();
}

absl::Status VersionLoader::BeginServing() {
  serving_ = true;
  return MakeRoom(0, 0, /*loaded=*/true);
}

void VersionLoader::ShareMemory() {
  const absl::Status shared = MakeRoom(0, 0, /*loaded=*/true);  // it logs what it comes to
  if (!shared.ok()) Log(LogLevel::kError, "memory_too_little", {{"message", TextOf(shared)}});
}

absl::Status VersionLoader::MakeRoom(int64_t bytes, int64_t passes, bool loaded) {
  return deps_.share_memory({.bundle_bytes = leaving_.bytes() + loaded_bytes_ + bytes,
                             .pass_bytes = leaving_.usual_bytes() + passes,
                             .loaded = loaded});
}

void VersionLoader::SetLoading(std::string what) {
  absl::MutexLock lock(&mu_);
  loading_ = std::move(what);
}

std::string VersionLoader::loading() const {
  absl::MutexLock lock(&mu_);
  return loading_;
}

}  // namespace pixpool
