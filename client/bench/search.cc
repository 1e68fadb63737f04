#include "client/bench/search.h"

namespace pixpool::bench {
namespace {

constexpr double kStart = 0.7;
constexpr double kGrowth = 1.25;
// Below a hundredth of the guess there is nothing to be found.
constexpr double kFloor = 0.01;

}  // namespace

double FindHighestRate(const SearchOptions& options, const std::function<bool(double)>& meets) {
  double passed = 0;
  double failed = 0;  // none yet
  double rate = options.guess * kStart;
  for (int step = 0; step < options.max_steps; ++step) {
    (meets(rate) ? passed : failed) = rate;
    if (failed == 0) {
      rate = passed * kGrowth;
    } else if (passed == 0) {
      rate = failed / 2;
      if (rate < options.guess * kFloor) break;
    } else {
      if (failed <= passed * (1 + options.precision)) break;
      rate = (passed + failed) / 2;
    }
  }
  return passed;
}

}  // namespace pixpool::bench
