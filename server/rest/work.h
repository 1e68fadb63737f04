// What a request for work becomes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/pipeline/request.h"
#include "server/rest/answer.h"

namespace pixpool::rest {

struct Work {
  ExtractRequest request;            // without its context
  std::optional<Priority> priority;  // what the request itself says
  std::string request_id;            // for the log; empty: none
  // Makes the answer of a result whose status is OK, and takes its values over. Not OK: the call
  // ends with that.
  std::function<absl::StatusOr<Answer>(ExtractResult*)> answer;
};

}  // namespace pixpool::rest
