// What keeps an exception from ending the process: gRPC and the pools that call us back catch none.
#pragma once

#include <exception>
#include <new>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace pixpool {

enum class Thrown { kNothing, kNoMemory, kOther };

// Logs an exception that nobody expected. Throws nothing.
void LogThrown(const char* what) noexcept;

// Runs `body` and says what it threw.
template <typename Body>
[[nodiscard]] Thrown Guard(const Body& body) noexcept {
  try {
    body();
    return Thrown::kNothing;
  } catch (const std::bad_alloc&) {
    LogThrown("no memory");
    return Thrown::kNoMemory;
  } catch (const std::exception& e) {
    LogThrown(e.what());
  } catch (...) {
    LogThrown("unknown exception");
  }
  return Thrown::kOther;
}

// The status of a call that ends because of it: OVERLOADED, or INFERENCE_FAILED without detail. May
// throw std::bad_alloc itself.
absl::Status ThrownStatus(Thrown thrown);

// The same without details, for when there is no memory even for these: its text is short enough to
// need none.
inline grpc::Status BareStatus() { return {grpc::StatusCode::UNAVAILABLE, "no memory"}; }

}  // namespace pixpool
