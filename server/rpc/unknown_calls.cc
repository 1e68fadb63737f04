#include "server/rpc/unknown_calls.h"

#include "absl/strings/escaping.h"
#include "server/base/error.h"
#include "server/base/text.h"
#include "server/rpc/guard.h"
#include "server/rpc/refusal.h"
#include "server/rpc/status.h"

namespace pixpool {

grpc::ServerGenericBidiReactor* UnknownCalls::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  grpc::Status status = BareStatus();
  // Without memory for the text the status is the bare one.
  Guard([&] {
    status = ToGrpcStatus(MakeError(
        ErrorReason::kNotImplemented,
        Concat("this server has no method ", absl::CHexEscape(context->method().substr(0, 256)))));
  }).IgnoreError();
  return Refuse(std::move(status));
}

}  // namespace pixpool
