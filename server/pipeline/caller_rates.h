// Images a second of callers whose tokens bound them. Internal to server/pipeline.
#pragma once

#include <map>
#include <string>

#include "server/base/call_context.h"
#include "server/base/clock.h"

namespace pixpool {

// A token bucket for each caller with a rate, which holds a second's worth of images, and one at
// least. A call of more images than that needs a full one, and then waits for others in their
// place. Not thread-safe: Admission's lock guards it. `terms` state a rate. Holds an entry for each
// name that the file of tokens had since the start.
class CallerRates {
 public:
  // How long `images` have to wait; none: they may come.
  TimeDuration Wait(TimePoint now, const CallerTerms& terms, int images) const;

  // Images have come, and were taken.
  void Take(TimePoint now, const CallerTerms& terms, int images);

 private:
  struct Bucket {
    double images = 0;  // below 0: owed
    TimePoint at{};
  };
  double Level(TimePoint now, const CallerTerms& terms) const;

  std::map<std::string, Bucket> buckets_;  // absl's tables do not survive a failed allocation
};

}  // namespace pixpool
