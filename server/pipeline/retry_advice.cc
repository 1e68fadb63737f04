#include "server/pipeline/retry_advice.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

namespace pixpool {
namespace {

constexpr TimeDuration kSliceTime = std::chrono::milliseconds(250);
// What a longer pause does is seen a pause later.
constexpr double kNewest = 0.1;
constexpr double kSpread = 0.2;
constexpr double kGoldenRatio = 0.6180339887498949;

}  // namespace

TimeDuration RetryAdvice::Refused(TimePoint now, int answered) {
  const int64_t slice = now.time_since_epoch() / kSliceTime;
  if (slice > slice_) Begin(slice, answered);
  ++refused_[static_cast<size_t>(slice_ % kSlices)];
  // Multiples of the golden ratio fill the unit interval evenly.
  const double place = std::fmod(++told_ * kGoldenRatio, 1.0);
  const double pause = pause_ * (1 + kSpread * (2 * place - 1));
  return std::chrono::duration_cast<TimeDuration>(std::chrono::duration<double>(pause));
}

void RetryAdvice::Begin(int64_t slice, int answered) {
  const double usual = ToSeconds(usual_);
  if (slice >= slice_ + kSlices) {  // nobody was refused for a second
    refused_.fill(0);
    pause_ = usual;
  }
  // Callers that come back after the pause are as many as come in one.
  const double callers = pause_ * std::accumulate(refused_.begin(), refused_.end(), 0);
  for (int64_t i = std::max(slice_ + 1, slice - kSlices + 1); i <= slice; ++i) {
    refused_[static_cast<size_t>(i % kSlices)] = 0;
  }
  slice_ = slice;
  const double affordable = std::max(kLeast, kRefusalsPerAnswer * answered);
  const double wanted = std::clamp(callers / affordable, usual, kMost * usual);
  pause_ = std::max(usual, pause_ + kNewest * (wanted - pause_));
}

}  // namespace pixpool
