// A message from its bytes, counted and bounded; and what is kept for a client.
#pragma once

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/pipeline/held_bytes.h"
#include "server/rpc/call.h"

namespace pixpool {

// Parses `bytes` into `message`, without the fields that its type does not have, and empties them.
// The result counts what the message takes, until it is admitted or gone. Errors: those of
// WalkMessage; OVERLOADED where too much is being read already.
absl::StatusOr<ByteHold> ReceiveMessage(const CallDeps& deps, grpc::ByteBuffer* bytes,
                                        google::protobuf::Message* message);

// Counts what is kept for a client and has no permit. Errors: OVERLOADED.
absl::StatusOr<ByteHold> HoldKept(const CallDeps& deps, int64_t bytes);

}  // namespace pixpool
