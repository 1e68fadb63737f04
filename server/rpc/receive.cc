#include "server/rpc/receive.h"

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/message_bytes.h"
#include "server/rpc/message_walk.h"

namespace pixpool {
namespace {

absl::StatusOr<ByteHold> Counted(const CallDeps& deps, absl::StatusOr<ByteHold> hold) {
  if (!hold.ok()) deps.metrics->Shed(ErrorReason::kOverloaded);
  return hold;
}

}  // namespace

absl::StatusOr<ByteHold> ReceiveMessage(const CallDeps& deps, grpc::ByteBuffer* bytes,
                                        google::protobuf::Message* message) {
  const google::protobuf::Descriptor& type = *message->GetDescriptor();
  const auto walk = WalkMessage(bytes, type);
  absl::StatusOr<ByteHold> hold =
      walk.ok() ? Counted(deps, deps.pipeline->admission()->HoldMessage(walk->bytes))
                : walk.status();
  if (!hold.ok()) {
    bytes->Clear();
    return hold;
  }
  if (!ParseMessage(bytes, message)) return NoSuchMessage(type);
  // They are kept and copied like others, and nothing reads them.
  if (walk->has_unknown) message->DiscardUnknownFields();
  return hold;
}

absl::StatusOr<ByteHold> HoldKept(const CallDeps& deps, int64_t bytes) {
  return Counted(deps, deps.pipeline->admission()->HoldKept(bytes));
}

}  // namespace pixpool
