// A message from its bytes, counted and bounded; and what is kept for a client.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/base/call_context.h"
#include "server/pipeline/held_bytes.h"
#include "server/rpc/call.h"

namespace pixpool {

// Whose what is held is, for the metrics of what is refused.
struct Holder {
  Priority priority;
  std::string_view token;  // the name of its caller's; empty: none
};

// Parses `bytes` into `message`, without the fields that its type does not have, and empties them.
// The result counts what the message takes, until it is admitted or gone. Errors: those of
// WalkMessage; OVERLOADED where too much is being read already.
absl::StatusOr<ByteHold> ReceiveMessage(const CallDeps& deps, const Holder& holder,
                                        grpc::ByteBuffer* bytes,
                                        google::protobuf::Message* message);

// Counts what is kept for a client and has no permit. Errors: OVERLOADED.
absl::StatusOr<ByteHold> HoldKept(const CallDeps& deps, const Holder& holder, int64_t bytes);

}  // namespace pixpool
