#include "server/rest/answer.h"

#include <optional>

#include "absl/time/time.h"
#include "server/base/error.h"
#include "server/base/text.h"
#include "server/rest/json_writer.h"
#include "server/rpc/status.h"

namespace pixpool::rest {
namespace {

constexpr size_t kMostDetailBytes = 4096;
constexpr size_t kMostFieldBytes = 256;
constexpr char kProblemType[] = "application/problem+json";

// The one place where a reason becomes a status.
int StatusOf(ErrorReason reason) {
  switch (reason) {
    case ErrorReason::kImageUndecodable:
    case ErrorReason::kRequestInvalid:
      return 400;
    case ErrorReason::kTokenInvalid:
      return 401;
    case ErrorReason::kModelControlOff:
      return 403;
    case ErrorReason::kModelNotFound:
    case ErrorReason::kLayerNotFound:
      return 404;
    case ErrorReason::kModelNotLoaded:
      return 409;
    case ErrorReason::kLimitExceeded:
      return 413;
    case ErrorReason::kImageUnsupportedFormat:
      return 415;
    case ErrorReason::kHeadInvalid:
      return 422;
    case ErrorReason::kOverloaded:
    case ErrorReason::kQuotaExceeded:
      return 429;
    case ErrorReason::kCancelled:
      return kClientGone;
    case ErrorReason::kInferenceFailed:
      return 500;
    case ErrorReason::kNotImplemented:
      return 501;
    case ErrorReason::kDraining:
    case ErrorReason::kModelLoading:
      return 503;
    case ErrorReason::kDeadlineInQueue:
      return 504;
  }
  return 500;
}

std::string Json(int status, const ErrorDetails& details, std::string_view detail) {
  JsonWriter json;
  json.Begin('{').Key("title").Text(StatusText(status)).Key("status").Number(status);
  json.Key("detail").Text(ClipText(detail, kMostDetailBytes));
  json.Key("reason").Text(ReasonName(details.reason));
  if (!details.field.empty()) json.Key("field").Text(ClipText(details.field, kMostFieldBytes));
  if (!details.metadata.empty()) {
    json.Key("metadata").Begin('{');
    for (const auto& [key, value] : details.metadata) {
      json.Key(key).Text(ClipText(value, kMostFieldBytes));
    }
    json.End('}');
  }
  return json.End('}').Take();
}

ErrorDetails DetailsOf(const absl::Status& error) {
  return GetErrorDetails(error).value_or(ErrorDetails{});
}

}  // namespace

std::string_view StatusText(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case kClientGone:
      return "Client Closed Request";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Internal Server Error";
  }
}

int ProblemStatus(const absl::Status& error) { return StatusOf(DetailsOf(error).reason); }

std::string ProblemJson(const absl::Status& error) {
  const std::optional<ErrorDetails> details = GetErrorDetails(error);
  if (!details) return Json(500, ErrorDetails{}, "internal error");
  return Json(StatusOf(details->reason), *details, ToStd(error.message()));
}

Answer Problem(const absl::Status& error) {
  const ErrorDetails details = DetailsOf(error);
  Answer answer{.status = StatusOf(details.reason), .type = kProblemType};
  answer.body = ProblemJson(error) + "\n";
  if (answer.status == 401) answer.fields.emplace_back("WWW-Authenticate", "Bearer");
  if (details.retry_after > absl::ZeroDuration()) {
    // Whole seconds: up, since those who come too early come for nothing.
    const int64_t seconds = absl::ToInt64Seconds(absl::Ceil(details.retry_after, absl::Seconds(1)));
    answer.fields.emplace_back("Retry-After", Concat(seconds));
    answer.fields.emplace_back("Retry-After-Ms",
                               Concat(absl::ToInt64Milliseconds(details.retry_after)));
  }
  return answer;
}

Answer Problem(int status, std::string_view detail) {
  Answer answer{.status = status, .type = kProblemType};
  answer.body = Json(status, {.reason = ErrorReason::kRequestInvalid}, detail) + "\n";
  return answer;
}

}  // namespace pixpool::rest
