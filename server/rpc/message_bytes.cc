#include "server/rpc/message_bytes.h"

#include <new>

#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {

using google::protobuf::MessageLite;

bool ParseMessage(grpc::ByteBuffer* bytes, MessageLite* out) {
  return grpc::GenericDeserialize<grpc::ProtoBufferReader, MessageLite>(bytes, out).ok();
}

absl::Status NoSuchMessage(const google::protobuf::Descriptor& type) {
  return MakeError(ErrorReason::kRequestInvalid, Concat("the bytes are no message of the type ",
                                                        type.full_name(), ", or end too early"));
}

grpc::ByteBuffer SerializeMessage(const MessageLite& message) {
  grpc::ByteBuffer bytes;
  bool own = false;
  const grpc::Status status =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, MessageLite>(message, &bytes, &own);
  // Only a message over 2 GiB cannot be written, and --max-response-bytes is below.
  if (!status.ok()) throw std::bad_alloc();
  return bytes;
}

}  // namespace pixpool
