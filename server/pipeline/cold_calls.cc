#include "server/pipeline/cold_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/pipeline/work.h"

namespace pixpool {
namespace {

// How often it is looked who has given up and whose model is there.
constexpr std::chrono::milliseconds kPause(20);

// Loads take seconds.
constexpr absl::Duration kRetryAfter = absl::Seconds(1);

constexpr char kFailed[] = "the request failed";

int64_t BytesOf(const ExtractRequest& request) {
  int64_t bytes = 0;
  for (const ImageInput& image : request.images) {
    bytes += static_cast<int64_t>(image.encoded.size() + image.raw.size());
  }
  return bytes;
}

absl::Status Draining() {
  return MakeError(ErrorReason::kDraining, "the server is draining and loads no more models");
}

absl::Status TooMany() {
  ErrorDetails details;
  details.reason = ErrorReason::kOverloaded;
  details.retry_after = kRetryAfter;
  return MakeError(details,
                   Concat("as many calls wait for models to be loaded as may, a quarter of ",
                          AdmissionLimits::kMaxRequests.flag, " and an eighth of ",
                          AdmissionLimits::kMaxBytes.flag, "; try again in ",
                          absl::FormatDuration(kRetryAfter)));
}

}  // namespace

ColdCalls::ColdCalls(const ModelRegistry* registry, Admission* admission, Metrics* metrics,
                     const Clock* clock, Extract extract)
    : registry_(registry),
      admission_(admission),
      metrics_(metrics),
      clock_(clock),
      extract_(std::move(extract)) {}

ColdCalls::~ColdCalls() {
  Close();
  ticker_.reset();
}

void ColdCalls::Take(ExtractRequest request, ExtractDone done) {
  bool parked = false;
  absl::Status status = Guarded("admit_failed", kFailed, [&] {
    ModelKey idle;
    absl::StatusOr<std::shared_ptr<const LoadedModel>> found =
        registry_->Get(request.model, request.version, &idle);
    if (found.ok()) {
      request.loaded = *std::move(found);
    } else if (!idle.name.empty()) {
      PIXPOOL_RETURN_IF_ERROR(Park(idle, &request, &done));
      parked = true;
    }
    return absl::OkStatus();
  });
  if (parked) return;
  if (status.ok()) return extract_(std::move(request), std::move(done));
  ExtractResult refused;
  refused.status = std::move(status);
  done(std::move(refused));
}

absl::Status ColdCalls::Park(const ModelKey& model, ExtractRequest* request, ExtractDone* done) {
  const TimePoint now = clock_->Now();
  const CallContext& context = *request->context;
  PIXPOOL_RETURN_IF_ERROR(context.Check(now, "admission"));
  const int64_t bytes = BytesOf(*request);
  absl::StatusOr<ByteHold> hold = admission_->HoldKept(bytes);
  if (!hold.ok()) return CountRefusal(hold.status(), context, metrics_);
  const AdmissionLimits limits = admission_->limits();
  const int most = std::max(1, limits.max_requests.value() / 4);
  // Where the version cannot come back the call is told so, and not answered by another one.
  request->model = model.name;
  request->version = model.version;
  absl::MutexLock lock(&mu_);
  if (closed_) return CountRefusal(Draining(), context, metrics_);
  const bool room = count_ == 0 || (count_ < most && bytes <= limits.max_bytes / 8 - bytes_);
  if (!room) return CountRefusal(TooMany(), context, metrics_);
  if (!ticker_) ticker_.emplace("cold-calls", kPause, [this] { Look(); });
  Waiting& waiting = waiting_[model];
  waiting.calls.reserve(waiting.calls.size() + 1);
  if (waiting.calls.empty() && !waiting.told) waiting.since = now;
  waiting.calls.push_back({.request = std::move(*request),
                           .done = std::move(*done),
                           .bytes = bytes,
                           .hold = *std::move(hold),
                           .since = now});
  ++count_;
  bytes_ += bytes;
  return absl::OkStatus();
}

std::vector<ModelKey> ColdCalls::TakeWanted() {
  std::vector<ModelKey> wanted;
  absl::MutexLock lock(&mu_);
  for (auto& [model, waiting] : waiting_) {
    if (waiting.told) continue;
    wanted.push_back(model);
    waiting.told = true;
  }
  return wanted;
}

void ColdCalls::Loaded(const ModelKey& model) {
  const absl::StatusOr<ModelEntry> entry = registry_->Find(model.name, model.version);
  const bool ready = entry.ok() && entry->state == ModelState::kReady;
  absl::MutexLock lock(&mu_);
  const auto found = waiting_.find(model);
  if (found == waiting_.end()) return;
  Waiting& waiting = found->second;
  loaded_.reserve(loaded_.size() + waiting.calls.size());
  for (Call& call : waiting.calls) loaded_.push_back(std::move(call));
  const double seconds = ToSeconds(clock_->Now() - waiting.since);
  waiting_.erase(found);
  // One that was taken away meanwhile has no series.
  if (entry.ok()) metrics_->ModelLoadedForCall(model.name, model.version, ready, seconds);
}

void ColdCalls::Look() {
  std::vector<Call> over;
  std::vector<Call> loaded;
  Guarded("cold_calls_failed", kFailed, [&] {
    const TimePoint now = clock_->Now();
    absl::MutexLock lock(&mu_);
    over.reserve(static_cast<size_t>(count_));  // what throws leaves all as it is
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      std::vector<Call>& calls = it->second.calls;
      const auto rest = std::stable_partition(calls.begin(), calls.end(), [&](const Call& call) {
        return !call.request.context->Over(now);
      });
      for (auto call = rest; call != calls.end(); ++call) {
        bytes_ -= call->bytes;
        --count_;
        over.push_back(std::move(*call));
      }
      calls.erase(rest, calls.end());
      const bool nobody = calls.empty() && !it->second.told;
      it = nobody ? waiting_.erase(it) : std::next(it);
    }
    loaded.swap(loaded_);
    for (const Call& call : loaded) bytes_ -= call.bytes;
    count_ -= static_cast<int>(loaded.size());
    return absl::OkStatus();
  }).IgnoreError();
  for (Call& call : over) {
    absl::Status status = call.request.context->Check(clock_->Now(), "load");
    End(std::move(call), std::move(status));
  }
  for (Call& call : loaded) Resume(std::move(call));
}

void ColdCalls::Resume(Call call) {
  call.hold.Release();
  const TimeDuration waited = clock_->Now() - call.since;
  Take(std::move(call.request), [done = std::move(call.done), waited](ExtractResult result) {
    result.load_wait += waited;
    done(std::move(result));
  });
}

void ColdCalls::End(Call call, absl::Status status) {
  Guarded("done_failed", kFailed, [&] {
    ExtractResult result;
    result.status = std::move(status);
    call.hold.Release();
    call.done(std::move(result));
    return absl::OkStatus();
  }).IgnoreError();
}

void ColdCalls::Close() {
  std::map<ModelKey, Waiting> waiting;
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    waiting.swap(waiting_);
    for (const auto& [model, calls] : waiting) {
      for (const Call& call : calls.calls) bytes_ -= call.bytes;
      count_ -= static_cast<int>(calls.calls.size());
    }
  }
  for (auto& [model, calls] : waiting) {
    for (Call& call : calls.calls) End(std::move(call), Draining());
  }
  Look();  // those whose model has just come
}

int ColdCalls::waiting() const {
  absl::MutexLock lock(&mu_);
  return count_;
}

}  // namespace pixpool
