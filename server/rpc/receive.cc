#include "server/rpc/receive.h"

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/message_bytes.h"
#include "server/rpc/message_walk.h"

namespace pixpool {
namespace {

absl::StatusOr<ByteHold> Counted(const CallDeps& deps, const Holder& holder,
                                 absl::StatusOr<ByteHold> hold) {
  if (!hold.ok()) deps.metrics->Shed(ErrorReason::kOverloaded, holder.priority, holder.token);
  return hold;
}

}  // namespace

absl::StatusOr<ByteHold> ReceiveMessage(const CallDeps& deps, const Holder& holder,
                                        grpc::ByteBuffer* bytes,
                                        google::protobuf::Message* message) {
  const google::protobuf::Descriptor& type = *message->GetDescriptor();
  const auto walk = WalkMessage(bytes, type);
  absl::StatusOr<ByteHold> hold =
      walk.ok() ? Counted(deps, holder, deps.pipeline->admission()->HoldMessage(walk->bytes))
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

absl::StatusOr<ByteHold> HoldKept(const CallDeps& deps, const Holder& holder, int64_t bytes) {
  return Counted(deps, holder, deps.pipeline->admission()->HoldKept(bytes));
}

}  // namespace pixpool
