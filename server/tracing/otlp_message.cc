#include "server/tracing/otlp_message.h"

#include <cstdint>

namespace pixpool {
namespace {

// Numbers of fields, from opentelemetry-proto 1.5.
enum Field : uint32_t {
  kRequestResourceSpans = 1,
  kResourceSpansResource = 1,
  kResourceSpansScopeSpans = 2,
  kResourceAttributes = 1,
  kScopeSpansScope = 1,
  kScopeSpansSpans = 2,
  kScopeName = 1,
  kScopeVersion = 2,
  kSpanTraceId = 1,
  kSpanSpanId = 2,
  kSpanState = 3,
  kSpanParent = 4,
  kSpanName = 5,
  kSpanKind = 6,
  kSpanBegin = 7,
  kSpanEnd = 8,
  kSpanAttributes = 9,
  kSpanStatus = 15,
  kStatusMessage = 2,
  kStatusCode = 3,
  kKeyValueKey = 1,
  kKeyValueValue = 2,
  kAnyValueString = 1,
  kAnyValueInt = 3,
};
constexpr uint64_t kKindInternal = 1;
constexpr uint64_t kKindServer = 2;
constexpr uint64_t kStatusError = 2;

// Protobuf's wire format, of which OTLP needs this little: messages of a library of ours would be
// one more thing to build (only rpc/ and kserve/ know protobuf).
class Message {
 public:
  void Int(uint32_t field, uint64_t value) {
    Tag(field, 0);
    Varint(value);
  }
  void Fixed64(uint32_t field, uint64_t value) {
    Tag(field, 1);
    for (int byte = 0; byte < 8; ++byte) bytes_ += static_cast<char>(value >> (8 * byte) & 0xFF);
  }
  void Bytes(uint32_t field, std::string_view value) {
    Tag(field, 2);
    Varint(value.size());
    bytes_ += value;
  }
  template <size_t kSize>
  void Bytes(uint32_t field, const std::array<uint8_t, kSize>& id) {
    Bytes(field, std::string_view(reinterpret_cast<const char*>(id.data()), kSize));
  }
  void Add(uint32_t field, const Message& message) { Bytes(field, message.bytes_); }
  std::string Take() && { return std::move(bytes_); }

 private:
  void Tag(uint32_t field, uint32_t type) { Varint(field << 3 | type); }
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

void AddAttributes(uint32_t field, const Attributes& attributes, Message* to) {
  for (const auto& [key, value] : attributes) {
    Message any;
    if (const auto* text = std::get_if<std::string>(&value)) {
      any.Bytes(kAnyValueString, *text);
    } else {
      any.Int(kAnyValueInt, static_cast<uint64_t>(std::get<int64_t>(value)));
    }
    Message pair;
    pair.Bytes(kKeyValueKey, key);
    pair.Add(kKeyValueValue, any);
    to->Add(field, pair);
  }
}

Message MessageOf(const Span& span) {
  Message out;
  out.Bytes(kSpanTraceId, span.trace);
  out.Bytes(kSpanSpanId, span.id);
  if (span.parent != SpanId{}) out.Bytes(kSpanParent, span.parent);
  if (!span.state.empty()) out.Bytes(kSpanState, span.state);
  out.Bytes(kSpanName, span.name);
  out.Int(kSpanKind, span.of_server ? kKindServer : kKindInternal);
  out.Fixed64(kSpanBegin, static_cast<uint64_t>(span.begin));
  out.Fixed64(kSpanEnd, static_cast<uint64_t>(span.end));
  AddAttributes(kSpanAttributes, span.attributes, &out);
  if (span.failed) {
    Message status;
    status.Bytes(kStatusMessage, span.message);
    status.Int(kStatusCode, kStatusError);
    out.Add(kSpanStatus, status);
  }
  return out;
}

}  // namespace

std::string OtlpMessage(const Attributes& resource, std::string_view version,
                        const std::vector<Span>& spans) {
  Message process;
  AddAttributes(kResourceAttributes, resource, &process);
  Message scope;
  scope.Bytes(kScopeName, "pixpool");
  scope.Bytes(kScopeVersion, version);
  Message of_scope;
  of_scope.Add(kScopeSpansScope, scope);
  for (const Span& span : spans) of_scope.Add(kScopeSpansSpans, MessageOf(span));
  Message of_resource;
  of_resource.Add(kResourceSpansResource, process);
  of_resource.Add(kResourceSpansScopeSpans, of_scope);
  Message request;
  request.Add(kRequestResourceSpans, of_resource);
  return std::move(request).Take();
}

}  // namespace pixpool
