// Numbers in files whose byte order is fixed. Positions must lie inside the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pixpool {

inline uint32_t ReadByte(std::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

inline uint32_t ReadLittle16(std::string_view bytes, size_t at) {
  return ReadByte(bytes, at) | ReadByte(bytes, at + 1) << 8;
}

inline uint32_t ReadLittle32(std::string_view bytes, size_t at) {
  return ReadLittle16(bytes, at) | ReadLittle16(bytes, at + 2) << 16;
}

inline uint32_t ReadBig32(std::string_view bytes, size_t at) {
  return ReadByte(bytes, at) << 24 | ReadByte(bytes, at + 1) << 16 | ReadByte(bytes, at + 2) << 8 |
         ReadByte(bytes, at + 3);
}

}  // namespace pixpool
