#include "server/base/error.h"

#include <array>
#include <cstdint>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

struct ReasonRow {
  ErrorReason reason;
  std::string_view name;
  absl::StatusCode code;
};

using enum ErrorReason;
using absl::StatusCode;

// In the order of the enum; the names are part of the API.
constexpr std::array<ReasonRow, kErrorReasonCount> kReasons = {{
    {kImageUndecodable, "IMAGE_UNDECODABLE", StatusCode::kInvalidArgument},
    {kImageUnsupportedFormat, "IMAGE_UNSUPPORTED_FORMAT", StatusCode::kInvalidArgument},
    {kLimitExceeded, "LIMIT_EXCEEDED", StatusCode::kInvalidArgument},
    {kHeadInvalid, "HEAD_INVALID", StatusCode::kInvalidArgument},
    {kRequestInvalid, "REQUEST_INVALID", StatusCode::kInvalidArgument},
    {kModelNotFound, "MODEL_NOT_FOUND", StatusCode::kNotFound},
    {kLayerNotFound, "LAYER_NOT_FOUND", StatusCode::kNotFound},
    {kOverloaded, "OVERLOADED", StatusCode::kUnavailable},
    {kQuotaExceeded, "QUOTA_EXCEEDED", StatusCode::kResourceExhausted},
    {kDraining, "DRAINING", StatusCode::kUnavailable},
    {kModelLoading, "MODEL_LOADING", StatusCode::kUnavailable},
    {kModelNotLoaded, "MODEL_NOT_LOADED", StatusCode::kFailedPrecondition},
    {kModelControlOff, "MODEL_CONTROL_OFF", StatusCode::kFailedPrecondition},
    {kDeadlineInQueue, "DEADLINE_IN_QUEUE", StatusCode::kDeadlineExceeded},
    {kCancelled, "CANCELLED", StatusCode::kCancelled},
    {kNotImplemented, "NOT_IMPLEMENTED", StatusCode::kUnimplemented},
    {kTokenInvalid, "TOKEN_INVALID", StatusCode::kUnauthenticated},
    {kInferenceFailed, "INFERENCE_FAILED", StatusCode::kInternal},
}};

constexpr bool RowsMatchEnum() {
  for (int i = 0; i < kErrorReasonCount; ++i) {
    if (static_cast<int>(kReasons[i].reason) != i) return false;
  }
  return true;
}
static_assert(RowsMatchEnum(), "kReasons must list every ErrorReason in the order of the enum");

const ReasonRow& Row(ErrorReason reason) { return kReasons[static_cast<size_t>(reason)]; }

constexpr char kPayloadUrl[] = "pixpool.error_details";

// The payload is a list of texts, each written as its length, a colon and its bytes: reason, field,
// retry in nanoseconds, then names and values of the metadata in turn.
void PutText(std::string* out, std::string_view text) { *out += Concat(text.size(), ":", text); }

std::optional<std::vector<std::string>> ParseTexts(std::string_view in) {
  std::vector<std::string> texts;
  while (!in.empty()) {
    const size_t colon = in.find(':');
    uint64_t size = 0;
    if (colon == in.npos || !absl::SimpleAtoi(ToAbsl(in.substr(0, colon)), &size))
      return std::nullopt;
    in.remove_prefix(colon + 1);
    if (size > in.size()) return std::nullopt;
    texts.emplace_back(in.substr(0, size));
    in.remove_prefix(size);
  }
  return texts;
}

std::string JoinPath(std::string_view prefix, std::string_view field) {
  if (field.empty()) return std::string(prefix);
  if (prefix.empty()) return std::string(field);
  return Concat(prefix, field.front() == '[' ? "" : ".", field);
}

}  // namespace

std::string_view ReasonName(ErrorReason reason) { return Row(reason).name; }

absl::StatusCode ReasonCode(ErrorReason reason) { return Row(reason).code; }

absl::Status MakeError(ErrorReason reason, std::string_view message) {
  ErrorDetails details;
  details.reason = reason;
  return MakeError(details, message);
}

absl::Status MakeError(const ErrorDetails& details, std::string_view message) {
  std::string payload;
  PutText(&payload, Concat(static_cast<int>(details.reason)));
  PutText(&payload, details.field);
  PutText(&payload, Concat(absl::ToInt64Nanoseconds(details.retry_after)));
  for (const auto& [name, value] : details.metadata) {
    PutText(&payload, name);
    PutText(&payload, value);
  }
  absl::Status status(ReasonCode(details.reason), ToAbsl(message));
  status.SetPayload(kPayloadUrl, absl::Cord(payload));
  return status;
}

std::optional<ErrorDetails> GetErrorDetails(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayloadUrl);
  if (!payload) return std::nullopt;
  const auto texts = ParseTexts(std::string(*payload));
  if (!texts || texts->size() < 3 || texts->size() % 2 != 1) return std::nullopt;
  int reason = 0;
  int64_t retry_ns = 0;
  if (!absl::SimpleAtoi((*texts)[0], &reason) || reason < 0 || reason >= kErrorReasonCount ||
      !absl::SimpleAtoi((*texts)[2], &retry_ns)) {
    return std::nullopt;
  }
  ErrorDetails details;
  details.reason = static_cast<ErrorReason>(reason);
  details.field = (*texts)[1];
  details.retry_after = absl::Nanoseconds(retry_ns);
  for (size_t i = 3; i < texts->size(); i += 2) {
    details.metadata.emplace_back((*texts)[i], (*texts)[i + 1]);
  }
  return details;
}

absl::Status PrependField(const absl::Status& status, std::string_view prefix) {
  std::optional<ErrorDetails> details = GetErrorDetails(status);
  if (!details) return status;
  details->field = JoinPath(prefix, details->field);
  return MakeError(*details, ToStd(status.message()));
}

}  // namespace pixpool
