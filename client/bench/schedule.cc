#include "client/bench/schedule.h"

namespace pixpool::bench {

int64_t Schedule::Next() {
  if (arrivals_ == Arrivals::kConstant) {
    // From the index, so that rounding does not add up.
    return static_cast<int64_t>(static_cast<double>(index_++) / rate_ * 1e9);
  }
  const double now = seconds_;
  seconds_ += gap_(engine_) / rate_;
  return static_cast<int64_t>(now * 1e9);
}

}  // namespace pixpool::bench
