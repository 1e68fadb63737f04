// Pictures for tests/support/misbehaving_worker.cc.
#pragma once

#include <string>
#include <string_view>

namespace pixpool::testing {

// A JPEG with a comment that asks its decoder for a misdeed. It decodes as it did without.
inline std::string AskFor(std::string_view misdeed, std::string_view jpeg) {
  const std::string text = "pixpool-test:" + std::string(misdeed) + ".";
  const size_t length = text.size() + 2;
  std::string asking(jpeg.substr(0, 2));
  asking += {'\xff', '\xfe', static_cast<char>(length >> 8), static_cast<char>(length & 0xff)};
  asking += text;
  asking += jpeg.substr(2);
  return asking;
}

}  // namespace pixpool::testing
