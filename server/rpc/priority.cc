#include "server/rpc/priority.h"

#include <iterator>
#include <string>

#include "server/base/error.h"
#include "server/base/text.h"
#include "server/rpc/enum_values.h"

namespace pixpool {
namespace {

absl::Status Invalid(const char* field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = field}, message);
}

}  // namespace

std::optional<Priority> PriorityFromText(std::string_view text) {
  for (const Priority priority : {Priority::kInteractive, Priority::kBulk}) {
    if (text == PriorityName(priority)) return priority;
  }
  return std::nullopt;
}

absl::StatusOr<Priority> PriorityFromMetadata(const grpc::ServerContextBase& context,
                                              Priority fallback) {
  const auto [begin, end] = context.client_metadata().equal_range(kPriorityMetadata);
  if (begin == end) return fallback;
  const auto complaint = [](std::string_view what) {
    return Invalid(kPriorityMetadata, Concat("the metadata entry ", kPriorityMetadata, " is ", what,
                                             "interactive or bulk"));
  };
  if (const auto count = std::distance(begin, end); count > 1) {
    return complaint(Concat("given ", count, " times; give it once, "));
  }
  const std::string_view text(begin->second.data(), begin->second.size());
  if (const std::optional<Priority> priority = PriorityFromText(text)) return *priority;
  return complaint(Concat("\"", text.substr(0, 64), "\"; it must be "));
}

absl::StatusOr<Priority> PriorityFromProto(v1::Priority priority, Priority fallback) {
  switch (priority) {
    case v1::PRIORITY_UNSPECIFIED:
      return fallback;
    case v1::PRIORITY_INTERACTIVE:
      return Priority::kInteractive;
    case v1::PRIORITY_BULK:
      return Priority::kBulk;
    default:
      return Invalid("priority", UnknownValue("priority", *v1::Priority_descriptor(), priority));
  }
}

}  // namespace pixpool
