#include "server/pipeline/work.h"

namespace pixpool {

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

absl::Status CountRefusal(absl::Status status, Metrics* metrics) {
  if (!status.ok()) {
    if (const auto details = GetErrorDetails(status)) metrics->Shed(details->reason);
  }
  return status;
}

absl::StatusOr<Permit> AcquirePermit(Admission* admission, Metrics* metrics,
                                     const AdmissionCost& cost, const CallContext& call) {
  auto permit = admission->Acquire(cost, call);
  if (!permit.ok()) return CountRefusal(permit.status(), metrics);
  return permit;
}

void DropImage(const ImageWork& image, const absl::Status& status, Stage stage, Metrics* metrics) {
  image.slot().status = status;
  metrics->Cancelled(stage, CancelReason(status));
}

}  // namespace pixpool
