#include "server/net/health_call.h"

#include <cstddef>
#include <cstdint>

namespace pixpool {
namespace {

// RFC 9113, 4.1: three bytes of length, type, flags, four of stream.
constexpr size_t kFrameHeader = 9;
enum FrameType : uint8_t { kData = 0, kHeaders = 1, kSettings = 4 };
constexpr uint8_t kEndStream = 1;
constexpr uint8_t kEndHeaders = 4;

std::string Frame(FrameType type, uint8_t flags, uint8_t stream, std::string_view payload) {
  std::string frame = {
      0, 0, static_cast<char>(payload.size()), static_cast<char>(type), static_cast<char>(flags), 0,
      0, 0, static_cast<char>(stream)};
  return frame.append(payload);
}

// RFC 7541, 6.2.2: a field that nobody remembers, its name an index of the static table.
std::string Field(std::string_view index, std::string_view value) {
  return std::string(index).append(1, static_cast<char>(value.size())).append(value);
}

}  // namespace

std::string HealthCallBytes() {
  const std::string headers = std::string("\x83\x86") +  // :method POST, :scheme http
                              Field("\x04", "/grpc.health.v1.Health/Check") +  // :path
                              Field("\x01", "localhost") +                     // :authority
                              Field("\x0f\x10", "application/grpc") +          // content-type
                              std::string({0, 2, 't', 'e', 8}) + "trailers";
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(kSettings, 0, 0, "") +
         Frame(kHeaders, kEndHeaders, 1, headers) +
         // An empty message: not compressed, of length 0.
         Frame(kData, kEndStream, 1, std::string(5, '\0'));
}

bool HoldsAnswer(std::string_view received) {
  while (received.size() >= kFrameHeader) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(received[i]); };
    const size_t length = size_t{byte(0)} << 16 | size_t{byte(1)} << 8 | byte(2);
    if (byte(3) == kData && byte(8) == 1 && length > 0) return true;
    if (received.size() < kFrameHeader + length) return false;
    received.remove_prefix(kFrameHeader + length);
  }
  return false;
}

}  // namespace pixpool
