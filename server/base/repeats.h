#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/base/clock.h"

namespace pixpool {

// Says which of many events, such as lines of somebody else's log, are told: of each kind one in a
// while, with how many of it were left out since. Not thread-safe.
class Repeats {
 public:
  // `kinds`: how many are told apart; those beyond count as one.
  Repeats(TimeDuration pause, size_t kinds) : pause_(pause), kinds_(kinds) {}

  // nullopt: it is left out. Else how many of the kind were, since the last that was told.
  std::optional<int64_t> Tell(const std::string& kind, TimePoint now) {
    const bool known = seen_.contains(kind) || seen_.size() < kinds_;
    Kind& seen = seen_[known ? kind : std::string(kOther)];
    if (seen.told && now < *seen.told + pause_) {
      ++seen.left_out;
      return std::nullopt;
    }
    seen.told = now;
    return std::exchange(seen.left_out, 0);
  }

  // What was left out and is not told yet, by kind; counts as told from here on.
  std::vector<std::pair<std::string, int64_t>> TakeLeftOut() {
    std::vector<std::pair<std::string, int64_t>> left_out;
    for (auto& [kind, seen] : seen_) {
      if (seen.left_out > 0) left_out.emplace_back(kind, std::exchange(seen.left_out, 0));
    }
    return left_out;
  }

 private:
  static constexpr char kOther[] = "other";

  struct Kind {
    std::optional<TimePoint> told;
    int64_t left_out = 0;
  };

  const TimeDuration pause_;
  const size_t kinds_;
  std::map<std::string, Kind> seen_;
};

}  // namespace pixpool
