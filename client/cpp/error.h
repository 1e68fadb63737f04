// Errors as this library returns them: an absl::Status whose details (reason, field at fault, when
// to retry) travel as payloads and are read with GetErrorDetails.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"
#include "grpcpp/support/string_ref.h"

namespace pixpool::client {

// What the server said about an error besides code and message. Everything is empty where the error
// did not come from a pixpool server: an unreachable server, a gRPC limit, a check of this library.
struct ErrorDetails {
  // ErrorInfo.reason, such as "OVERLOADED" or "HEAD_INVALID".
  std::string reason;
  // ErrorInfo.metadata: the dynamic parts of the message by name.
  std::map<std::string, std::string> metadata;
  // BadRequest: path of a request field, such as "heads[0].gem.p", and what is wrong with it.
  std::vector<std::pair<std::string, std::string>> field_violations;
  // How long the server asks to wait before a retry; nullopt: not stated.
  std::optional<absl::Duration> retry_after;
  // Whether the server asks not to retry at all (a negative grpc-retry-pushback-ms).
  bool retry_forbidden = false;
};

// Reads the details out of a status made by the functions below. Thread-safe.
ErrorDetails GetErrorDetails(const absl::Status& status);

// Whether a request came to be too much: UNAVAILABLE, OVERLOADED for the server, or
// RESOURCE_EXHAUSTED, QUOTA_EXCEEDED for its token.
bool WasShed(const absl::Status& status);

// A text for people: "INVALID_ARGUMENT (HEAD_INVALID): p must be above 0 [heads[0].gem.p]"; "OK"
// for OK.
std::string Describe(const absl::Status& status);

// The status of one image inside a response.
absl::Status FromRpcStatus(const google::rpc::Status& status);

// The status of a whole call; `trailers` is ClientContext::GetServerTrailingMetadata() and may be
// null.
absl::Status FromGrpcStatus(
    const grpc::Status& status,
    const std::multimap<grpc::string_ref, grpc::string_ref>* trailers = nullptr);

}  // namespace pixpool::client
