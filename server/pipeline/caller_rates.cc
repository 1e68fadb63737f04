#include "server/pipeline/caller_rates.h"

#include <algorithm>
#include <chrono>

namespace pixpool {
namespace {

double Capacity(const CallerTerms& terms) { return std::max(1.0, *terms.images_per_second); }

}  // namespace

double CallerRates::Level(TimePoint now, const CallerTerms& terms) const {
  const auto found = buckets_.find(terms.token);
  if (found == buckets_.end()) return Capacity(terms);
  const double gained = ToSeconds(now - found->second.at) * *terms.images_per_second;
  return std::min(found->second.images + gained, Capacity(terms));
}

TimeDuration CallerRates::Wait(TimePoint now, const CallerTerms& terms, int images) const {
  const double missing = std::min<double>(images, Capacity(terms)) - Level(now, terms);
  if (missing <= 0) return TimeDuration::zero();
  const std::chrono::duration<double> wait(missing / *terms.images_per_second);
  // Upwards, so that who waits as long has not come too early.
  return std::chrono::ceil<std::chrono::milliseconds>(wait);
}

void CallerRates::Take(TimePoint now, const CallerTerms& terms, int images) {
  const double level = Level(now, terms);
  buckets_[terms.token] = {.images = level - images, .at = now};
}

}  // namespace pixpool
