#include "client/cpp/retry.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/error.h"

namespace pixpool::client {
namespace {

// "" stands for failures below the server: no connection, connection lost.
constexpr std::array<std::string_view, 3> kRetryableReasons = {"", "MODEL_LOADING", "DRAINING"};

// Whether the server has reset the call because messages that have not come in whole take all of
// their memory: ENHANCE_YOUR_CALM (RFC 9113, 7). gRPC gives it a message over its limit's code.
bool WasToldToBeCalm(const absl::Status& status) {
  return absl::IsResourceExhausted(status) &&
         absl::StrContains(status.message(), "RST_STREAM with error code 11");
}

bool IsRetryable(const absl::Status& status, const ErrorDetails& details) {
  if (details.reason.empty() && WasToldToBeCalm(status)) return true;
  if (details.retry_forbidden) return false;
  if (WasShed(status)) return true;
  return absl::IsUnavailable(status) &&
         std::find(kRetryableReasons.begin(), kRetryableReasons.end(), details.reason) !=
             kRetryableReasons.end();
}

}  // namespace

absl::Status CheckRetryPolicy(const RetryPolicy& policy) {
  if (policy.max_attempts < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("retry.max_attempts must be at least 1, is ", policy.max_attempts));
  }
  if (policy.initial_backoff <= absl::ZeroDuration() ||
      policy.max_backoff < policy.initial_backoff) {
    return absl::InvalidArgumentError(
        absl::StrCat("retry backoff must be above 0 and at most max_backoff, is ",
                     absl::FormatDuration(policy.initial_backoff), " with max_backoff ",
                     absl::FormatDuration(policy.max_backoff)));
  }
  if (!(policy.multiplier >= 1.0) || !std::isfinite(policy.multiplier)) {
    return absl::InvalidArgumentError(
        absl::StrCat("retry.multiplier must be at least 1, is ", policy.multiplier));
  }
  if (!(policy.jitter >= 0.0 && policy.jitter <= 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("retry.jitter must be between 0 and 1, is ", policy.jitter));
  }
  return absl::OkStatus();
}

bool IsRetryable(const absl::Status& status) {
  return IsRetryable(status, GetErrorDetails(status));
}

std::optional<absl::Duration> RetrySchedule::Next(const absl::Status& status,
                                                  absl::Duration remaining, double random) {
  const ErrorDetails details = GetErrorDetails(status);
  if (!IsRetryable(status, details)) return std::nullopt;
  if (++failures_ >= policy_.max_attempts) return std::nullopt;

  absl::Duration delay;
  if (details.retry_after) {
    delay = *details.retry_after * (1.0 + policy_.jitter * random);
  } else {
    const absl::Duration backoff =
        policy_.initial_backoff * std::pow(policy_.multiplier, failures_ - 1);
    delay = std::min(backoff, policy_.max_backoff) * (1.0 + policy_.jitter * (2.0 * random - 1.0));
  }
  if (delay >= remaining) return std::nullopt;
  return delay;
}

double RandomUnit() {
  thread_local std::minstd_rand engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
}

}  // namespace pixpool::client
