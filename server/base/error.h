// Errors as the API promises them: a reason, the field at fault, and what a client may do. The
// canonical code follows from the reason, in one table (error.cc). Details travel inside
// absl::Status as payloads, so every layer can return plain Status and only server/rpc turns it
// into google.rpc.Status.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace pixpool {

// Every client-visible cause of failure; the names are part of the API (ErrorInfo.reason).
enum class ErrorReason {
  kImageUndecodable,        // INVALID_ARGUMENT: corrupt or truncated picture
  kImageUnsupportedFormat,  // INVALID_ARGUMENT: not a format that is decoded
  kLimitExceeded,   // INVALID_ARGUMENT: over a limit of ours; the message names limit and flag
  kHeadInvalid,     // INVALID_ARGUMENT: bad head or head parameter
  kRequestInvalid,  // INVALID_ARGUMENT: anything else that is malformed
  kModelNotFound,   // NOT_FOUND
  kLayerNotFound,   // NOT_FOUND
  kOverloaded,      // UNAVAILABLE with retry_after: queue or memory budget full
  kQuotaExceeded,   // RESOURCE_EXHAUSTED with retry_after: the caller has all that its token allows
  kDraining,        // UNAVAILABLE
  kModelLoading,    // UNAVAILABLE
  kModelNotLoaded,  // FAILED_PRECONDITION: a model was to be loaded and could not be
  kModelControlOff,  // FAILED_PRECONDITION: calls may not load or unload models
  kDeadlineInQueue,  // DEADLINE_EXCEEDED: the work was not done
  kCancelled,        // CANCELLED: the client went away, the work was not done
  kNotImplemented,   // UNIMPLEMENTED: part of the API that this version does not serve
  kTokenInvalid,     // UNAUTHENTICATED: no token, or one that is not known
  kInferenceFailed,  // INTERNAL: our bug; the message carries no detail
};

inline constexpr int kErrorReasonCount = static_cast<int>(ErrorReason::kInferenceFailed) + 1;

// "IMAGE_UNDECODABLE" and so on.
std::string_view ReasonName(ErrorReason reason);

// The canonical code that belongs to a reason.
absl::StatusCode ReasonCode(ErrorReason reason);

// What a Status made by MakeError carries besides code and message.
struct ErrorDetails {
  ErrorReason reason = ErrorReason::kInferenceFailed;
  // Path of the request field at fault, such as "heads[1].gem.p"; empty if none is.
  std::string field;
  // Every dynamic part of the message, by name.
  std::vector<std::pair<std::string, std::string>> metadata;
  // How long a client should wait before it tries again; zero: not stated.
  absl::Duration retry_after = absl::ZeroDuration();
};

// Makes the Status of an error. Messages name the field, the limit and what to do.
absl::Status MakeError(ErrorReason reason, std::string_view message);
absl::Status MakeError(const ErrorDetails& details, std::string_view message);

// The details of a status made by MakeError; nullopt for any other.
std::optional<ErrorDetails> GetErrorDetails(const absl::Status& status);

// The same error with `prefix` put before its field path: "gem.p" under "heads[1]" gives
// "heads[1].gem.p".
absl::Status PrependField(const absl::Status& status, std::string_view prefix);

}  // namespace pixpool
