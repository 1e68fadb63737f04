// The end of a call that needs no pipeline.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/grpcpp.h"
#include "server/rpc/call.h"
#include "server/rpc/status.h"

namespace pixpool {

// Counts the call and sends its status. `record` is as old as the call.
inline grpc::ServerUnaryReactor* FinishNow(CallRecord* record, grpc::CallbackServerContext* context,
                                           const absl::Status& status) {
  record->End(status);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace pixpool
