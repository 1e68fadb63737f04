// Bridges between std::string_view, which our interfaces use, and absl::string_view. Where Abseil
// is built with a string_view of its own (Debian does that) the two do not convert into each other.
// Use absl::StrCat and friends on strings and literals, and these where a std::string_view is
// involved.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace pixpool {

inline absl::string_view ToAbsl(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

inline std::string_view ToStd(absl::string_view text) {
  return std::string_view(text.data(), text.size());
}

namespace text_internal {

template <typename T>
decltype(auto) Piece(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(value);
  } else {
    return (value);
  }
}

}  // namespace text_internal

// absl::StrCat that takes std::string_view too.
template <typename... Args>
std::string Concat(const Args&... args) {
  return absl::StrCat(text_internal::Piece(args)...);
}

// The text up to the first line break: of an error of a library that puts its stack trace below.
inline std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

}  // namespace pixpool
