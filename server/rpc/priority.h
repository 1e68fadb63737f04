// How urgent a call is: what its request says, else its metadata, else what calls of its kind are.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/server_context.h"
#include "pixpool/v1/feature_service.pb.h"
#include "server/base/call_context.h"
#include "server/rpc/options.h"

namespace pixpool {

// Of a name; see PriorityName.
std::optional<Priority> PriorityFromText(std::string_view text);

// What the values of `pixpool-priority` say, `fallback` where there is none. REQUEST_INVALID naming
// it for any other text, and for more than one.
absl::StatusOr<Priority> PriorityFromValues(const std::vector<std::string_view>& values,
                                            Priority fallback);

// The same of a call's metadata.
absl::StatusOr<Priority> PriorityFromMetadata(const grpc::ServerContextBase& context,
                                              Priority fallback);

// `fallback` where it is not set. REQUEST_INVALID naming `priority` for a value that is not known.
absl::StatusOr<Priority> PriorityFromProto(v1::Priority priority, Priority fallback);

}  // namespace pixpool
