// Messages as the bytes that gRPC carries. Our reactors read and write bytes and not messages: a
// call then starts before its message has arrived, bytes that are no message get an answer of ours,
// and an answer is one buffer while it waits for its reader.
#pragma once

#include "absl/status/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"

namespace pixpool {

// Whether `bytes` are a message of the type of `out`. Empties them.
bool ParseMessage(grpc::ByteBuffer* bytes, google::protobuf::MessageLite* out);

// The status of bytes that are no message of the type.
absl::Status NoSuchMessage(const google::protobuf::Descriptor& type);

grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message);

}  // namespace pixpool
