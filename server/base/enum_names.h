// Enumerations whose values have names.
#pragma once

#include <string_view>

namespace pixpool {

// How many enumerators `name` names, from 0 on without a gap. Where `name` is a switch over all of
// them without a default, the compiler (-Wswitch) refuses an enumerator that it forgets, and so no
// count is kept by hand.
template <typename Enum>
constexpr int NamedCount(std::string_view (*name)(Enum)) {
  int count = 0;
  while (!name(static_cast<Enum>(count)).empty()) ++count;
  return count;
}

}  // namespace pixpool
