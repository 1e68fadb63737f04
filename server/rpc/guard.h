// What keeps an exception in a call from ending the process: gRPC and the pools that call us back
// catch none.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "grpcpp/support/status.h"
#include "server/base/guarded.h"

namespace pixpool {

// Runs `body`, which returns nothing. What it throws is the status of the call that ends because of
// it, OVERLOADED or INFERENCE_FAILED without detail, and is logged as `call_failed`.
template <typename Body>
[[nodiscard]] absl::Status Guard(Body&& body) noexcept {
  return Guarded("call_failed", "internal error", std::forward<Body>(body));
}

// A status without details, for when there is no memory even for these: its text is short enough to
// need none.
inline grpc::Status BareStatus() { return {grpc::StatusCode::UNAVAILABLE, "no memory"}; }

}  // namespace pixpool
