#include "server/pipeline/work.h"

namespace pixpool {

ErrorReason CancelReason(const absl::Status& status) {
  return absl::IsCancelled(status) ? ErrorReason::kCancelled : ErrorReason::kDeadlineInQueue;
}

absl::StatusOr<Permit> AcquirePermit(Admission* admission, Metrics* metrics,
                                     const AdmissionCost& cost) {
  auto permit = admission->Acquire(cost);
  if (!permit.ok()) {
    if (const auto details = GetErrorDetails(permit.status())) metrics->Shed(details->reason);
  }
  return permit;
}

void DropImage(const ImageWork& image, const absl::Status& status, Stage stage, Metrics* metrics) {
  image.slot().status = status;
  metrics->Cancelled(stage, CancelReason(status));
}

}  // namespace pixpool
