// Why a call's messages have come to their end.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/server_context.h"

namespace pixpool {

// Whether a read failed because the call was over before it: cancelled, past its deadline, or
// without its connection. To be asked in OnReadDone(false).
//
// False is the end of the client's messages, or a message that gRPC has refused: then it answers
// the call by itself and cancels it, but not before OnReadDone, nor does it say why. Only OnDone
// knows for certain, by IsCancelled.
bool CallBrokeBeforeRead(grpc::CallbackServerContext* context);

// The status of a call whose message gRPC has refused: RESOURCE_EXHAUSTED, which it has sent where
// the message is over --max-message-bytes. It sends UNIMPLEMENTED where the message is compressed.
absl::Status MessageRefused();

}  // namespace pixpool
