// When requests of an open loop are to be sent.
#pragma once

#include <cstdint>
#include <random>

namespace pixpool::bench {

enum class Arrivals { kPoisson, kConstant };

// Endless times from the start of a run, in nanoseconds: at 0 and then in gaps of 1 / rate, or in
// gaps of an exponential distribution with that mean, as independent callers make them. The same
// seed gives the same times. Not thread-safe.
class Schedule {
 public:
  // `rate` is in requests a second, above 0.
  Schedule(Arrivals arrivals, double rate, uint64_t seed)
      : arrivals_(arrivals), rate_(rate), engine_(seed) {}

  int64_t Next();

 private:
  const Arrivals arrivals_;
  const double rate_;
  std::mt19937_64 engine_;
  std::exponential_distribution<double> gap_{1.0};
  int64_t index_ = 0;
  double seconds_ = 0;
};

}  // namespace pixpool::bench
