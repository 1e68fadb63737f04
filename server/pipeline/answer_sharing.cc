#include "server/pipeline/answer_sharing.h"

#include <utility>

#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr char kEvent[] = "cache_failed";
constexpr char kImageFailed[] = "the image could not be processed";

ModelMetrics& MetricsOf(const ImageRef& image) { return image.work->metrics(); }

}  // namespace

AnswerSharing::AnswerSharing(const ResponseCacheOptions& options, Metrics* metrics,
                             const Clock* clock, Actions actions)
    : on_(options.max_bytes > 0),
      shared_(options.shared),
      metrics_(metrics),
      clock_(clock),
      actions_(std::move(actions)),
      store_(options.max_bytes) {}

void AnswerSharing::Look(RequestWork* work) const {
  if (!on_) return;
  const AnswerKeys keys(*work, shared_);
  for (ImageState& image : work->images) {
    if (!image.features.status.ok()) continue;
    image.answer = std::make_unique<AnswerPlace>();
    image.answer->key = keys.Of(image);
    image.answer->kept = store_.Find(image.answer->key.answer);
    image.answer->expected =
        image.answer->kept != nullptr || flights_.IsOut(image.answer->key.flight);
  }
}

AnswerSharing::Answer AnswerSharing::Begin(const ImageRef& image) {
  AnswerPlace* const place = image.state().answer.get();
  if (place == nullptr) return Answer::kNone;
  if (place->kept != nullptr && Use(place->kept, image)) return Answer::kHere;
  bool waits = false;
  Guarded(kEvent, kImageFailed, [&] {
    // An image that follows is another thread's from then on, which may have it lead by now.
    waits = !flights_.Join(place->key.flight, image);
    if (!waits) place->leads = true;
  }).IgnoreError();
  if (waits) return Answer::kAwaited;
  // A flight that ended meanwhile has left its answer.
  if (place->leads) place->kept = store_.Find(place->key.answer);
  if (place->kept == nullptr || !Use(place->kept, image)) return Answer::kNone;
  Ended(image);
  return Answer::kHere;
}

bool AnswerSharing::Came(const ImageRef& image) {
  AnswerPlace* const place = image.state().answer.get();
  if (place == nullptr) return false;
  place->kept = store_.Find(place->key.answer);
  if (place->kept != nullptr && Use(place->kept, image)) return true;
  MetricsOf(image).CacheUsed(CacheUse::kMiss);
  return false;
}

void AnswerSharing::Decoded(const ImageRef& image, const absl::Status& status) {
  AnswerPlace* const place = image.state().answer.get();
  if (place != nullptr && absl::IsInvalidArgument(status)) place->undecodable = status;
}

void AnswerSharing::Ended(const ImageRef& image) {
  AnswerPlace* const place = image.state().answer.get();
  if (place == nullptr || !place->leads) return;
  place->leads = false;
  const ImageFeatures& features = image.state().features;
  if (!place->undecodable.ok()) return Refuse(place->key.flight, place->undecodable);
  if (!features.status.ok()) return HandOver(place->key.flight);
  if (!features.cached) {
    const absl::Status kept = Guarded(kEvent, kImageFailed, [&] {
      place->kept = KeptAnswer(features);
      const size_t gone =
          store_.Keep(place->key.answer, image.work->result.model->model.get(), place->kept);
      metrics_->AnswersDropped(AnswerDrop::kFull, gone);
    });
    if (!kept.ok() && place->kept == nullptr) return HandOver(place->key.flight);
  }
  Give(place->key.flight, *place->kept);
}

void AnswerSharing::Forget(const Model& model) {
  if (on_) metrics_->AnswersDropped(AnswerDrop::kModel, store_.Forget(&model));
}

bool AnswerSharing::Use(const std::shared_ptr<const ImageFeatures>& kept, const ImageRef& image) {
  const absl::Status used =
      Guarded(kEvent, kImageFailed, [&] { UseAnswer(*kept, &image.state().features); });
  if (used.ok()) MetricsOf(image).CacheUsed(CacheUse::kHit);
  return used.ok();
}

void AnswerSharing::Give(const Sha256Digest& flight, const ImageFeatures& answer) {
  for (const ImageRef& image : flights_.End(flight)) {
    if (SettledIfOver(image)) continue;
    ImageFeatures& features = image.state().features;
    features.status = Guarded(kEvent, kImageFailed, [&] { UseAnswer(answer, &features); });
    if (features.status.ok()) MetricsOf(image).CacheUsed(CacheUse::kShared);
    actions_.settled(image);
  }
}

void AnswerSharing::Refuse(const Sha256Digest& flight, const absl::Status& undecodable) {
  for (const ImageRef& image : flights_.End(flight)) {
    if (SettledIfOver(image)) continue;
    image.state().features.status = Guarded(kEvent, kImageFailed, [&] {
      return PrependField(undecodable, Concat("images[", image.index, "]"));
    });
    actions_.settled(image);
  }
}

void AnswerSharing::HandOver(const Sha256Digest& flight) {
  while (const auto next = flights_.Next(flight)) {
    if (SettledIfOver(*next)) continue;
    next->state().answer->leads = true;
    if (actions_.take_over(*next)) return;
  }
}

bool AnswerSharing::SettledIfOver(const ImageRef& image) {
  const CallContext& call = image.work->context();
  const TimePoint now = clock_->Now();
  if (!call.Over(now)) return false;
  absl::Status& status = image.state().features.status;
  status = Guarded(kEvent, kImageFailed, [&] { return call.Check(now, "decode"); });
  MetricsOf(image).Cancelled(Stage::kQueue, CancelReason(status));
  actions_.settled(image);
  return true;
}

}  // namespace pixpool
