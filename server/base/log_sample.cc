#include "server/base/log_sample.h"

#include "absl/strings/numbers.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr std::string_view kOneOf = "1/";
constexpr size_t kMostDigits = 7;
constexpr int64_t kMost = 1'000'000;

}  // namespace

std::optional<int64_t> LogSample::Every(std::string_view which) {
  if (which == "all") return 1;
  if (which == "failed") return 0;
  if (!which.starts_with(kOneOf)) return std::nullopt;
  which.remove_prefix(kOneOf.size());
  // absl::SimpleAtoi alone would take blanks and signs.
  if (which.size() > kMostDigits || which.find_first_not_of("0123456789") != which.npos) {
    return std::nullopt;
  }
  int64_t every = 0;
  if (!absl::SimpleAtoi(ToAbsl(which), &every) || every < 1 || every > kMost) return std::nullopt;
  return every;
}

}  // namespace pixpool
