#include "server/rpc/status.h"

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

void AddDetails(const ErrorDetails& details, std::string_view message, google::rpc::Status* out) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(details.reason)));
  info.set_domain(kErrorDomain);
  for (const auto& [key, value] : details.metadata) (*info.mutable_metadata())[key] = value;
  out->add_details()->PackFrom(info);

  if (!details.field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(details.field);
    violation->set_description(std::string(message));
    out->add_details()->PackFrom(bad);
  }
  if (details.retry_after > absl::ZeroDuration()) {
    google::rpc::RetryInfo retry;
    const int64_t nanos = absl::ToInt64Nanoseconds(details.retry_after);
    retry.mutable_retry_delay()->set_seconds(nanos / 1'000'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
    out->add_details()->PackFrom(retry);
  }
}

}  // namespace

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  if (status.ok()) return out;
  const std::optional<ErrorDetails> details = GetErrorDetails(status);
  if (!details) {
    return ToRpcStatus(MakeError(ErrorReason::kInferenceFailed, "internal error"));
  }
  out.set_code(static_cast<int>(status.code()));
  out.set_message(std::string(status.message()));
  AddDetails(*details, ToStd(status.message()), &out);
  return out;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status out = ToRpcStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(out.code()), out.message(),
                      out.SerializeAsString());
}

std::string RetryPushback(const absl::Status& status) {
  const std::optional<ErrorDetails> details = GetErrorDetails(status);
  if (!details || details->retry_after <= absl::ZeroDuration()) return "";
  return Concat(absl::ToInt64Milliseconds(details->retry_after));
}

std::string ReasonText(const absl::Status& status) {
  if (status.ok()) return "";
  const std::optional<ErrorDetails> details = GetErrorDetails(status);
  return std::string(ReasonName(details ? details->reason : ErrorReason::kInferenceFailed));
}

}  // namespace pixpool
