#include "server/pipeline/work.h"

#include <utility>

#include "server/base/guarded.h"

namespace pixpool {
namespace {

constexpr char kRequestFailed[] = "the request failed";

}  // namespace

ErrorReason CancelReason(const absl::Status& status) {
  return absl::IsCancelled(status) ? ErrorReason::kCancelled : ErrorReason::kDeadlineInQueue;
}

bool WasDropped(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
}

absl::Status RequestStatus(const ExtractResult& result) {
  size_t internal = 0;
  for (const ImageFeatures& image : result.images) {
    if (WasDropped(image.status)) return image.status;
    if (absl::IsInternal(image.status)) ++internal;
  }
  return internal > 0 && internal == result.images.size() ? result.images[0].status
                                                          : absl::OkStatus();
}

void DeclarePictures(Metrics* metrics) {
  std::vector<std::string_view> formats = FormatNames();
  metrics->DeclareDamages(formats, DamageKindNames());
  formats.push_back(kRawFormat);
  metrics->DeclareFormats(formats);
}

void CountPictures(const RequestWork& work, Metrics* metrics) {
  for (const ImageState& image : work.images) {
    const ImageHeader& header = image.header;
    if (header.width == 0) continue;
    const ImageInput& source = *image.source;
    metrics->ImageSeen(
        source.is_raw ? kRawFormat : FormatName(header.format),
        static_cast<double>(source.is_raw ? source.raw.size() : source.encoded.size()),
        static_cast<double>(header.width) * header.height);
  }
}

void NoteRemarks(const ImageWork& image, const PictureInputs& picture, Metrics* metrics) {
  ImageState& state = image.state();
  const ImageFormat format = state.header.format;
  std::vector<std::string>& warnings = state.features.warnings;
  for (const Damage& damage : picture.damages) {
    warnings.push_back(DamageWarning(format, damage));
    metrics->ImageDamaged(FormatName(format), DamageKindName(damage.kind));
  }
  if (picture.has_hidden_colors) warnings.emplace_back(kHiddenColorsWarning);
}

void FailImageUnlessOk(const ImageWork& image, const absl::Status& status) {
  if (status.ok()) return;
  ImageFeatures& features = image.state().features;
  features.status = status;
  features.outputs.clear();
  features.regions.clear();
}

void FinishRequest(RequestWork* work, Metrics* metrics) {
  ExtractResult& result = work->result;
  absl::Status status = Guarded("reply_failed", kRequestFailed, [&] {
    result.images.reserve(work->images.size());
    for (ImageState& image : work->images) {
      work->metrics().ImageDone(image.features.status);
      if (image.features.status.ok()) {
        metrics->RegionsDone(work->request.regions.mode, image.features.regions.size());
      }
      result.images.push_back(std::move(image.features));
    }
    return RequestStatus(result);
  });
  result.status = std::move(status);
  Guarded("done_failed", kRequestFailed, [&] {
    work->done(std::move(result));
    return absl::OkStatus();
  }).IgnoreError();
}

absl::Status CountRefusal(absl::Status status, const CallContext& call, Metrics* metrics) {
  if (const auto details = GetErrorDetails(status)) {
    metrics->Shed(details->reason, call.priority(), call.token());
  }
  return status;
}

absl::StatusOr<Permit> AcquirePermit(Admission* admission, Metrics* metrics,
                                     const AdmissionCost& cost, const CallContext& call) {
  auto permit = admission->Acquire(cost, call);
  if (!permit.ok()) return CountRefusal(permit.status(), call, metrics);
  metrics->Admitted(call.priority());
  return permit;
}

void DropImage(const ImageWork& image, const absl::Status& status, Stage stage) {
  image.slot().status = status;
  image.work->metrics().Cancelled(stage, CancelReason(status));
}

}  // namespace pixpool
