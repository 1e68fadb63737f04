// What a message would become, from its bytes and before it is parsed: a parser makes objects of
// two bytes each and numbers of one, up to sixty times what was sent.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/support/byte_buffer.h"

namespace pixpool {

// Longest text in a message, in bytes: of every field of the type `string`.
inline constexpr size_t kMaxTextBytes = 4096;

// Most messages, repeated texts and repeated bytes within a message, unknown fields included.
inline constexpr int64_t kMaxParts = 100'000;

// Most numbers in one message whose length on the wire varies, such as PoolTensorRequest.indices;
// numbers of a fixed length are no longer in memory than they were sent.
inline constexpr int64_t kMaxNumbers = int64_t{1} << 24;

struct MessageWalk {
  int64_t bytes = 0;         // that the message takes when it is parsed, at most
  bool has_unknown = false;  // fields that the type does not have
};

// Goes through a message of the type `type` without copying its texts and pictures. Errors:
// REQUEST_INVALID where the bytes are no message; LIMIT_EXCEEDED, with the field's path, for a text
// over kMaxTextBytes, parts over kMaxParts, numbers over kMaxNumbers.
absl::StatusOr<MessageWalk> WalkMessage(grpc::ByteBuffer* bytes,
                                        const google::protobuf::Descriptor& type);

}  // namespace pixpool
