// The highest rate that keeps an objective.
#pragma once

#include <functional>

namespace pixpool::bench {

struct SearchOptions {
  // Where to begin: about what the server can do at most, in requests a second; above 0.
  double guess = 100;
  // The search ends when the lowest rate that failed is at most this much above the highest one
  // that passed.
  double precision = 0.05;
  int max_steps = 12;
};

// Tries rates by `meets` and returns the highest one that passed; 0: none did. Begins at seven
// tenths of the guess, where a server still has room for bursts, grows while that passes and halves
// the gap between what passed and what did not. Rates are tried once; `meets` is taken at its word.
double FindHighestRate(const SearchOptions& options, const std::function<bool(double)>& meets);

}  // namespace pixpool::bench
