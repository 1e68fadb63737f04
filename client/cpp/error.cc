#include "client/cpp/error.h"

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "google/rpc/error_details.pb.h"

namespace pixpool::client {
namespace {

constexpr char kTypeUrlPrefix[] = "type.googleapis.com/";
constexpr char kPushbackUrl[] = "pixpool/grpc-retry-pushback-ms";
constexpr char kPushbackTrailer[] = "grpc-retry-pushback-ms";

template <typename Detail>
std::optional<Detail> GetDetail(const absl::Status& status) {
  const auto payload =
      status.GetPayload(absl::StrCat(kTypeUrlPrefix, Detail::descriptor()->full_name()));
  Detail detail;
  if (!payload || !detail.ParseFromString(std::string(*payload))) return std::nullopt;
  return detail;
}

void AddPayloads(const google::rpc::Status& from, absl::Status& to) {
  for (const auto& any : from.details()) to.SetPayload(any.type_url(), absl::Cord(any.value()));
}

// Codes outside of the canonical ones are UNKNOWN, as gRPC itself reads them.
absl::StatusCode Code(int code) {
  const bool known = code >= static_cast<int>(absl::StatusCode::kOk) &&
                     code <= static_cast<int>(absl::StatusCode::kUnauthenticated);
  return known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown;
}

}  // namespace

ErrorDetails GetErrorDetails(const absl::Status& status) {
  ErrorDetails details;
  if (const auto info = GetDetail<google::rpc::ErrorInfo>(status)) {
    details.reason = info->reason();
    details.metadata.insert(info->metadata().begin(), info->metadata().end());
  }
  if (const auto bad = GetDetail<google::rpc::BadRequest>(status)) {
    for (const auto& v : bad->field_violations()) {
      details.field_violations.emplace_back(v.field(), v.description());
    }
  }
  if (const auto retry = GetDetail<google::rpc::RetryInfo>(status);
      retry && retry->has_retry_delay()) {
    const absl::Duration delay = absl::Seconds(retry->retry_delay().seconds()) +
                                 absl::Nanoseconds(retry->retry_delay().nanos());
    if (delay >= absl::ZeroDuration()) details.retry_after = delay;
  }
  // The trailer is the more specific of the two: a proxy in between may have set it.
  if (const auto pushback = status.GetPayload(kPushbackUrl)) {
    int64_t ms = -1;
    if (absl::SimpleAtoi(std::string(*pushback), &ms) && ms >= 0) {
      details.retry_after = absl::Milliseconds(ms);
    } else {
      details.retry_forbidden = true;
    }
  }
  return details;
}

bool WasShed(const absl::Status& status) {
  if (absl::IsUnavailable(status)) return GetErrorDetails(status).reason == "OVERLOADED";
  return absl::IsResourceExhausted(status) && GetErrorDetails(status).reason == "QUOTA_EXCEEDED";
}

std::string Describe(const absl::Status& status) {
  std::string text = absl::StatusCodeToString(status.code());
  if (status.ok()) return text;
  const ErrorDetails details = GetErrorDetails(status);
  if (!details.reason.empty()) absl::StrAppend(&text, " (", details.reason, ")");
  if (!status.message().empty()) absl::StrAppend(&text, ": ", status.message());
  for (const auto& [field, description] : details.field_violations) {
    // Servers often repeat the message as the description; say it once.
    const bool repeated = description.empty() || description == status.message();
    absl::StrAppend(&text, " [", field, repeated ? "" : ": ", repeated ? "" : description, "]");
  }
  return text;
}

absl::Status FromRpcStatus(const google::rpc::Status& status) {
  absl::Status result(Code(status.code()), status.message());
  if (!result.ok()) AddPayloads(status, result);
  return result;
}

absl::Status FromGrpcStatus(const grpc::Status& status,
                            const std::multimap<grpc::string_ref, grpc::string_ref>* trailers) {
  absl::Status result(Code(status.error_code()), status.error_message());
  if (result.ok()) return result;
  google::rpc::Status rich;
  if (rich.ParseFromString(status.error_details())) AddPayloads(rich, result);
  if (trailers != nullptr) {
    if (const auto it = trailers->find(kPushbackTrailer); it != trailers->end()) {
      result.SetPayload(kPushbackUrl,
                        absl::Cord(absl::string_view(it->second.data(), it->second.size())));
    }
  }
  return result;
}

}  // namespace pixpool::client
