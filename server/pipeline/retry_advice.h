// When refused callers are told to come back. Internal to server/pipeline.
#pragma once

#include <array>
#include <cstdint>

#include "server/base/clock.h"

namespace pixpool {

// A refusal costs processor time too, and a thousand callers who come back five times a second take
// more of it for their refusals than is left for answers. So the more of them come back, the later
// they are told to: at most twice as many refusals a second as answers, as long as that needs no
// more than kMost times the usual pause. A few refused callers are told the usual pause, or about.
//
// Not thread-safe: Admission's lock guards it. Time is a parameter.
class RetryAdvice {
 public:
  // `usual`: `--retry-after-ms`; zero gives no advice.
  explicit RetryAdvice(TimeDuration usual) : usual_(usual), pause_(ToSeconds(usual)) {}

  // A call is refused: the pause that it is told. `answered` images in the last second. Pauses are
  // spread by a fifth to both sides, so that callers who were refused together do not come back
  // together: gRPC's own retries wait exactly as long as they are told.
  TimeDuration Refused(TimePoint now, int answered);

  static constexpr double kMost = 12;
  static constexpr double kRefusalsPerAnswer = 2;
  // What any server can afford a second.
  static constexpr double kLeast = 50;

 private:
  static constexpr int kSlices = 4;  // of a quarter of a second

  void Begin(int64_t slice, int answered);

  const TimeDuration usual_;
  double pause_;  // seconds
  std::array<int, kSlices> refused_{};
  int64_t slice_ = 0;  // number of the one under way
  uint32_t told_ = 0;
};

}  // namespace pixpool
