#include "server/rpc/read_end.h"

#include "absl/strings/cord.h"
#include "grpc/grpc.h"
#include "server/base/error.h"
#include "server/base/text.h"
#include "server/rpc/options.h"

namespace pixpool {

bool CallBrokeBeforeRead(grpc::CallbackServerContext* context) {
  return grpc_call_failed_before_recv_message(context->c_call()) != 0;
}

absl::Status MessageRefused() {
  const absl::Status limit =
      MakeError(ErrorReason::kLimitExceeded,
                Concat("gRPC refused the message: it has more bytes than ",
                       RpcOptions::kMaxMessageBytes.flag, " allows, or is compressed"));
  // The code is gRPC's, the reason ours.
  absl::Status status(absl::StatusCode::kResourceExhausted, limit.message());
  limit.ForEachPayload(
      [&](absl::string_view type, const absl::Cord& payload) { status.SetPayload(type, payload); });
  return status;
}

}  // namespace pixpool
