// A call that may end at any time, for whoever wants to cancel it.
#pragma once

#include "grpc/grpc.h"
#include "grpcpp/server_context.h"

namespace pixpool {

// Keeps gRPC's call alive, and no more: gRPC destroys the server context as soon as the reactor's
// OnDone has returned, which may be at the same moment on another thread. So a call that has been
// finished is cancelled through this and never through its context. Thread-safe.
class CallHandle {
 public:
  // While the call is alive: before it is finished.
  explicit CallHandle(grpc::CallbackServerContext* context) : call_(context->c_call()) {
    grpc_call_ref(call_);
  }
  ~CallHandle() { grpc_call_unref(call_); }
  CallHandle(const CallHandle&) = delete;
  CallHandle& operator=(const CallHandle&) = delete;

  // Nothing happens where the call has ended.
  void Cancel() const {
    grpc_call_cancel_with_status(call_, GRPC_STATUS_CANCELLED, "Cancelled on the server side",
                                 nullptr);
  }

 private:
  grpc_call* const call_;
};

}  // namespace pixpool
