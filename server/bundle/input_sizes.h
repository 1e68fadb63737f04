// Which sizes of its input a network takes.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace pixpool {

// A value. Without bounds every size is taken; the least side is the recipe's min_side.
struct InputSizes {
  std::vector<std::pair<int, int>> only;  // height, width; empty: any
  int multiple = 1;                       // both sides are multiples of it

  bool Takes(int height, int width) const;
  // Another size that is taken, near this one and a little higher where any are; this one where it
  // is the only one.
  std::pair<int, int> Another(int height, int width) const;
  // For messages: "224 x 224 pixels alone", "224 x 224 or 384 x 384 pixels", "multiples of 32
  // pixels a side", "any size". Height first.
  std::string Text() const;

  bool operator==(const InputSizes&) const = default;
};

}  // namespace pixpool
