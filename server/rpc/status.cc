#include "server/rpc/status.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// What an error says must fit into 8 KiB of trailers, whatever a request's texts are that it
// echoes: the message travels as grpc-message, where a byte may take three, and in the details,
// where four bytes take three, once more as the description of the field.
constexpr size_t kMaxMessage = 1024;
constexpr size_t kMaxDescription = 512;
constexpr size_t kMaxField = 256;
constexpr size_t kMaxValue = 128;
constexpr size_t kMaxValues = 8;

void AddDetails(const ErrorDetails& details, std::string_view message, google::rpc::Status* out) {
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(ReasonName(details.reason)));
  info.set_domain(kErrorDomain);
  for (size_t i = 0; i < std::min(details.metadata.size(), kMaxValues); ++i) {
    const auto& [key, value] = details.metadata[i];
    (*info.mutable_metadata())[key] = ClipText(value, kMaxValue);
  }
  out->add_details()->PackFrom(info);

  if (!details.field.empty()) {
    google::rpc::BadRequest bad;
    auto* violation = bad.add_field_violations();
    violation->set_field(ClipText(details.field, kMaxField));
    violation->set_description(ClipText(message, kMaxDescription));
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

std::string ClipText(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  constexpr std::string_view kGap = " ... ";
  // A byte 10xxxxxx of UTF-8 goes on with the letter before it.
  const auto inside = [text](size_t at) { return (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80; };
  size_t tail = text.size() - most / 4;
  while (tail < text.size() && inside(tail)) ++tail;
  size_t head = most - most / 4 - kGap.size();
  while (head > 0 && inside(head)) --head;
  return Concat(text.substr(0, head), kGap, text.substr(tail));
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  if (status.ok()) return out;
  const std::optional<ErrorDetails> details = GetErrorDetails(status);
  if (!details) {
    return ToRpcStatus(MakeError(ErrorReason::kInferenceFailed, "internal error"));
  }
  out.set_code(static_cast<int>(status.code()));
  out.set_message(ClipText(ToStd(status.message()), kMaxMessage));
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
