// Visits the options of a struct without a list of them to keep: the members are counted and bound
// by the compiler, so none can be forgotten.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "server/base/option.h"

namespace pixpool {
namespace option_internal {

template <typename T>
constexpr bool kIsOption = false;
template <typename T, const OptionSpec& kSpec>
constexpr bool kIsOption<Option<T, kSpec>> = true;

// Stands for whatever a struct of options may hold, where only the number of members matters.
struct AnyMember {
  template <typename T>
  requires(kIsOption<T> || std::is_aggregate_v<T>) constexpr operator T() const;
};

template <typename S, typename... Members>
constexpr size_t CountMembers() {
  if constexpr (requires { S{std::declval<Members>()..., AnyMember{}}; }) {
    return CountMembers<S, Members..., AnyMember>();
  } else {
    return sizeof...(Members);
  }
}

// Calls visit(member...) with all members of a struct.
template <typename S, typename Visit>
void BindMembers(S& s, const Visit& visit) {
  constexpr size_t kCount = CountMembers<std::remove_const_t<S>>();
  static_assert(kCount >= 1 && kCount <= 20,
                "a struct of options has 1 to 20 members; make a struct of some");
  if constexpr (kCount == 1) {
    auto& [a] = s;
    visit(a);
  } else if constexpr (kCount == 2) {
    auto& [a, b] = s;
    visit(a, b);
  } else if constexpr (kCount == 3) {
    auto& [a, b, c] = s;
    visit(a, b, c);
  } else if constexpr (kCount == 4) {
    auto& [a, b, c, d] = s;
    visit(a, b, c, d);
  } else if constexpr (kCount == 5) {
    auto& [a, b, c, d, e] = s;
    visit(a, b, c, d, e);
  } else if constexpr (kCount == 6) {
    auto& [a, b, c, d, e, f] = s;
    visit(a, b, c, d, e, f);
  } else if constexpr (kCount == 7) {
    auto& [a, b, c, d, e, f, g] = s;
    visit(a, b, c, d, e, f, g);
  } else if constexpr (kCount == 8) {
    auto& [a, b, c, d, e, f, g, h] = s;
    visit(a, b, c, d, e, f, g, h);
  } else if constexpr (kCount == 9) {
    auto& [a, b, c, d, e, f, g, h, i] = s;
    visit(a, b, c, d, e, f, g, h, i);
  } else if constexpr (kCount == 10) {
    auto& [a, b, c, d, e, f, g, h, i, j] = s;
    visit(a, b, c, d, e, f, g, h, i, j);
  } else if constexpr (kCount == 11) {
    auto& [a, b, c, d, e, f, g, h, i, j, k] = s;
    visit(a, b, c, d, e, f, g, h, i, j, k);
  } else if constexpr (kCount == 12) {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l] = s;
    visit(a, b, c, d, e, f, g, h, i, j, k, l);
  } else if constexpr (kCount == 13) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13] = s;
    visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13);
  } else if constexpr (kCount == 14) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14] = s;
    visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14);
  } else if constexpr (kCount == 15) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15] = s;
    visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15);
  } else if constexpr (kCount == 16) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16] = s;
    visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16);
  } else if constexpr (kCount == 17) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17] = s;
    visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17);
  } else if constexpr (kCount == 18) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18] = s;
    visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18);
  } else if constexpr (kCount == 19) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19] =
        s;
    visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19);
  } else if constexpr (kCount == 20) {
    auto& [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
           m20] = s;
    visit(m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19,
          m20);
  }
}

}  // namespace option_internal

// Calls visit(option) for each option of a struct of options and of the structs in it, in the order
// of their declaration. Does not compile for a struct that holds something else.
template <typename S, typename Visit>
void ForEachOption(S& options, const Visit& visit) {
  const auto one = [&visit](auto& member) {
    using Member = std::remove_cvref_t<decltype(member)>;
    if constexpr (option_internal::kIsOption<Member>) {
      visit(member);
    } else {
      ForEachOption(member, visit);
    }
  };
  option_internal::BindMembers(options, [&one](auto&... members) { (one(members), ...); });
}

}  // namespace pixpool
