#include "server/rpc/message_walk.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format.h"
#include "google/protobuf/wire_format_lite.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/rpc/message_bytes.h"

namespace pixpool {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormat;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// What a part takes besides its bytes: the objects that protoc makes of our messages have 32 to 240
// bytes, and a pointer with room for another.
constexpr int64_t kPartBytes = 256;

// Repeated numbers grow by doubling.
constexpr int64_t kGrowth = 2;

// Types of messages are nested less deeply than this.
constexpr size_t kMaxDepth = 32;

int64_t NumberBytes(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return 8;
    case FieldDescriptor::CPPTYPE_BOOL:
      return 1;
    default:
      return 4;
  }
}

class Walker {
 public:
  Walker(grpc::ByteBuffer* bytes, const Descriptor& type)
      : type_(type), reader_(bytes), in_(&reader_) {
    walk_.bytes = static_cast<int64_t>(bytes->Length());
  }

  absl::StatusOr<MessageWalk> Walk() {
    PIXPOOL_RETURN_IF_ERROR(Message(type_));
    if (!in_.ConsumedEntireMessage()) return NoMessage();
    return walk_;
  }

 private:
  // A field on the way to where the walk is.
  struct Step {
    const FieldDescriptor* field = nullptr;
    int64_t index = 0;  // among those of a repeated field that follow each other
  };

  absl::Status NoMessage() const { return NoSuchMessage(type_); }

  std::string Path() const {
    std::string path;
    for (const Step& step : path_) {
      if (step.field == nullptr) continue;
      if (!path.empty()) path += '.';
      path += step.field->name();
      if (step.field->is_repeated()) path += Concat("[", step.index, "]");
    }
    return path;
  }

  absl::Status OverLimit(std::string_view what, int64_t actual, int64_t limit,
                         std::string_view advice) const {
    const std::string path = Path();
    return MakeError({.reason = ErrorReason::kLimitExceeded,
                      .field = path,
                      .metadata = {{"limit", Concat(limit)}, {"actual", Concat(actual)}}},
                     Concat(path, path.empty() ? "" : ": ", what, ": ", actual, "; the limit is ",
                            limit, "; ", advice));
  }

  absl::Status AddPart() {
    walk_.bytes += kPartBytes;
    if (++parts_ <= kMaxParts) return absl::OkStatus();
    return OverLimit("parts of the message so far", parts_, kMaxParts, "split the request");
  }

  absl::Status AddNumbers(const FieldDescriptor& field, int64_t count) {
    walk_.bytes += count * NumberBytes(field) * kGrowth;
    numbers_ += count;
    if (numbers_ <= kMaxNumbers) return absl::OkStatus();
    return OverLimit("numbers of the message so far", numbers_, kMaxNumbers,
                     "split the request, or send bytes");
  }

  absl::Status Message(const Descriptor& type) {
    if (path_.size() >= kMaxDepth) return NoMessage();
    path_.emplace_back();
    while (const uint32_t tag = in_.ReadTag()) {
      const int number = WireFormatLite::GetTagFieldNumber(tag);
      const FieldDescriptor* const field = type.FindFieldByNumber(number);
      Step& step = path_.back();
      step.index = field == step.field ? step.index + 1 : 0;
      step.field = field;
      PIXPOOL_RETURN_IF_ERROR(Field(field, tag));
    }
    path_.pop_back();
    return absl::OkStatus();
  }

  absl::Status Field(const FieldDescriptor* field, uint32_t tag) {
    const auto wire_type = WireFormatLite::GetTagWireType(tag);
    const bool by_length = wire_type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    if (field != nullptr) {
      if (by_length && field->is_packable()) return Packed(*field);
      // A field of another wire type is unknown to the parser.
      if (wire_type != WireFormat::WireTypeForFieldType(field->type())) field = nullptr;
    }
    if (field == nullptr) {
      walk_.has_unknown = true;
      PIXPOOL_RETURN_IF_ERROR(AddPart());
    }
    if (by_length) return ByLength(field);
    // Groups are older than our syntax: none of our clients' libraries writes them.
    const bool is_group = wire_type == WireFormatLite::WIRETYPE_START_GROUP;
    if (is_group || !WireFormatLite::SkipField(&in_, tag)) return NoMessage();
    return field != nullptr && field->is_repeated() ? AddNumbers(*field, 1) : absl::OkStatus();
  }

  absl::Status ByLength(const FieldDescriptor* field) {
    int length = 0;
    if (!in_.ReadVarintSizeAsInt(&length)) return NoMessage();
    const bool is_message = field != nullptr && field->type() == FieldDescriptor::TYPE_MESSAGE;
    if (is_message || (field != nullptr && field->is_repeated())) {
      PIXPOOL_RETURN_IF_ERROR(AddPart());
    }
    if (is_message) return Inner(*field->message_type(), length);
    const bool is_text = field != nullptr && field->type() == FieldDescriptor::TYPE_STRING;
    if (is_text && static_cast<size_t>(length) > kMaxTextBytes) {
      return OverLimit("bytes of a text", length, kMaxTextBytes, "send a shorter one");
    }
    return in_.Skip(length) ? absl::OkStatus() : NoMessage();
  }

  absl::Status Inner(const Descriptor& type, int length) {
    const auto limit = in_.PushLimit(length);
    // A limit beyond the bytes that there are would be taken for their end.
    if (in_.BytesUntilLimit() != length) return NoMessage();
    PIXPOOL_RETURN_IF_ERROR(Message(type));
    if (!in_.ConsumedEntireMessage() || in_.BytesUntilLimit() != 0) return NoMessage();
    in_.PopLimit(limit);
    return absl::OkStatus();
  }

  absl::Status Packed(const FieldDescriptor& field) {
    int length = 0;
    if (!in_.ReadVarintSizeAsInt(&length)) return NoMessage();
    if (WireFormat::WireTypeForFieldType(field.type()) != WireFormatLite::WIRETYPE_VARINT) {
      return in_.Skip(length) ? absl::OkStatus() : NoMessage();
    }
    // The last byte of each number has no upper bit.
    int64_t count = 0;
    while (length > 0) {
      const void* data = nullptr;
      int size = 0;
      if (!in_.GetDirectBufferPointer(&data, &size)) return NoMessage();
      size = std::min(size, length);
      const auto* const bytes = static_cast<const uint8_t*>(data);
      count += std::count_if(bytes, bytes + size, [](uint8_t byte) { return byte < 0x80; });
      length -= size;
      if (!in_.Skip(size)) return NoMessage();
    }
    return AddNumbers(field, count);
  }

  const Descriptor& type_;
  grpc::ProtoBufferReader reader_;
  CodedInputStream in_;
  MessageWalk walk_;
  std::vector<Step> path_;
  int64_t parts_ = 0;
  int64_t numbers_ = 0;
};

}  // namespace

absl::StatusOr<MessageWalk> WalkMessage(grpc::ByteBuffer* bytes, const Descriptor& type) {
  return Walker(bytes, type).Walk();
}

}  // namespace pixpool
