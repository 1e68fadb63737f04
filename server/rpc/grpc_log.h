#pragma once

namespace pixpool {

// From here on gRPC's own lines are lines of the server's log, event "grpc", in place of text on
// standard error. Anybody who can connect can cause some, by a handshake that fails: of those that
// are alike but for their digits there is one in ten seconds, with how many were left out since the
// one before. Thread-safe.
void TakeGrpcLog();

// Tells what was left out and has not been told. Call before the log stops.
void TellGrpcLeftOut();

}  // namespace pixpool
