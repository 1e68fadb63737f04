#pragma once

#include <utility>

#include "absl/status/statusor.h"

namespace pixpool {

// Says when something that is looked at again and again, such as files, has come to rest with
// another value than the one in force: what was the same at two looks is whole, and each such value
// is to be judged once. Not thread-safe.
template <typename T>
class Settling {
 public:
  enum class News {
    kNone,
    kAgain,    // it is what is in force, after something else was judged
    kSettled,  // it is to be judged
  };

  News Look(const absl::StatusOr<T>& now, const T& in_force) {
    if (now.ok() && *now == in_force) {
      differs_ = false;
      return std::exchange(judged_, false) ? News::kAgain : News::kNone;
    }
    if (!std::exchange(differs_, true) || seen_ != now) {
      seen_ = now;
      fresh_ = true;
      return News::kNone;
    }
    if (!std::exchange(fresh_, false)) return News::kNone;
    judged_ = true;
    return News::kSettled;
  }

  // What was judged is in force now.
  void Taken() {
    differs_ = false;
    judged_ = false;
  }

 private:
  bool differs_ = false;    // whether the last look saw something else than what is in force
  absl::StatusOr<T> seen_;  // that
  bool fresh_ = false;      // whether it has not been judged
  bool judged_ = false;     // whether anything was, since what is in force
};

}  // namespace pixpool
