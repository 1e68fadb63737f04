// absl::Status of the pipeline to the gRPC status of the API. The one place where that happens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace pixpool {

// Domain of every ErrorInfo.
inline constexpr char kErrorDomain[] = "pixpool.v1.FeatureService";

// `text` in at most `most` (16 or more) bytes: the middle of a longer one is left out, so that
// what an echoed name makes long keeps both what is wrong and what to do. UTF-8 stays UTF-8.
std::string ClipText(std::string_view text, size_t most);

// A google.rpc.Status with ErrorInfo always, BadRequest where a field is at fault, RetryInfo where
// waiting helps. A status that does not come from MakeError is a bug of ours: it becomes INTERNAL,
// INFERENCE_FAILED, without its message. Long texts are clipped: it always fits into 8 KiB of
// trailers.
google::rpc::Status ToRpcStatus(const absl::Status& status);

// The same as a gRPC status, its details serialised for the grpc-status-details-bin trailer.
grpc::Status ToGrpcStatus(const absl::Status& status);

// Milliseconds for the grpc-retry-pushback-ms trailer; empty where the client was not told when to
// retry.
std::string RetryPushback(const absl::Status& status);

// "OVERLOADED", or "" for OK: for the log.
std::string ReasonText(const absl::Status& status);

}  // namespace pixpool
