#include "server/rpc/priority.h"

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

absl::StatusOr<Priority> PriorityFromValues(const std::vector<std::string_view>& values,
                                            Priority fallback) {
  if (values.empty()) return fallback;
  const auto complaint = [](std::string_view what) {
    return Invalid(kPriorityMetadata, Concat("the metadata entry ", kPriorityMetadata, " is ", what,
                                             "interactive or bulk"));
  };
  if (values.size() > 1) {
    return complaint(Concat("given ", values.size(), " times; give it once, "));
  }
  const std::string_view text = values[0];
  if (const std::optional<Priority> priority = PriorityFromText(text)) return *priority;
  return complaint(Concat("\"", text.substr(0, 64), "\"; it must be "));
}

absl::StatusOr<Priority> PriorityFromMetadata(const grpc::ServerContextBase& context,
                                              Priority fallback) {
  std::vector<std::string_view> values;
  const auto [begin, end] = context.client_metadata().equal_range(kPriorityMetadata);
  for (auto entry = begin; entry != end; ++entry) {
    values.emplace_back(entry->second.data(), entry->second.size());
  }
  return PriorityFromValues(values, fallback);
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
