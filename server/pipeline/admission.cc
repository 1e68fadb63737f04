#include "server/pipeline/admission.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// `what` there is no room for, as clients and operators know it.
absl::Status Overloaded(const char* what, FlagNumber limit, std::chrono::milliseconds retry_after) {
  ErrorDetails details;
  details.reason = ErrorReason::kOverloaded;
  details.metadata = {{"limit", Concat(limit.value)}, {"flag", std::string(limit.flag)}};
  details.retry_after = absl::FromChrono(retry_after);
  return MakeError(
      details, Concat("the server holds as many ", what, " in flight as it may (", limit.flag, " ",
                      limit.value, "); try again in ", absl::FormatDuration(details.retry_after)));
}

}  // namespace

Permit& Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    Release();
    owner_ = std::exchange(other.owner_, nullptr);
    cost_ = other.cost_;
  }
  return *this;
}

void Permit::Release() {
  if (Admission* owner = std::exchange(owner_, nullptr)) owner->Return(cost_);
}

absl::StatusOr<Permit> Admission::Acquire(AdmissionCost cost) {
  cost.bytes = std::max<int64_t>(cost.bytes, 0);
  cost.pixels = std::max<int64_t>(cost.pixels, 0);
  absl::MutexLock lock(&mu_);
  if (closed_) {
    return MakeError(ErrorReason::kDraining,
                     "the server is shutting down and takes no new requests; try another one");
  }
  if (usage_.requests > 0) {
    // Differences, so that no sum can overflow.
    if (usage_.requests >= limits_.max_requests) {
      return Overloaded("requests", limits_.max_requests, limits_.retry_after);
    }
    if (cost.bytes > limits_.max_bytes - usage_.bytes) {
      return Overloaded("bytes of images and answers", limits_.max_bytes, limits_.retry_after);
    }
    if (cost.pixels > limits_.max_pixels - usage_.pixels) {
      return Overloaded("pixels", limits_.max_pixels, limits_.retry_after);
    }
  }
  usage_.requests += 1;
  usage_.bytes += cost.bytes;
  usage_.pixels += cost.pixels;
  return Permit(this, cost);
}

void Admission::Lower(int64_t max_bytes, int64_t max_pixels) {
  absl::MutexLock lock(&mu_);
  limits_.max_bytes = std::min(limits_.max_bytes.value(), max_bytes);
  limits_.max_pixels = std::min(limits_.max_pixels.value(), max_pixels);
}

AdmissionLimits Admission::limits() const {
  absl::MutexLock lock(&mu_);
  return limits_;
}

void Admission::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
}

bool Admission::WaitUntilIdle(absl::Duration timeout) {
  const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) { return usage_.requests == 0; };
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(&idle), timeout);
}

Admission::Usage Admission::usage() const {
  absl::MutexLock lock(&mu_);
  return usage_;
}

void Admission::Return(const AdmissionCost& cost) {
  absl::MutexLock lock(&mu_);
  usage_.requests -= 1;
  usage_.bytes -= cost.bytes;
  usage_.pixels -= cost.pixels;
}

}  // namespace pixpool
