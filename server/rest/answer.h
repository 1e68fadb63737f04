// What the HTTP API answers.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/held_bytes.h"

namespace pixpool::rest {

struct Answer {
  int status = 200;
  std::string type = "application/json";  // of the body
  std::string body;
  std::vector<std::pair<std::string, std::string>> fields;  // further ones of the header
  bool close = false;                                       // whether the connection ends with it
  // Until the answer is written.
  Permit permit;
  ByteHold hold;
};

// 499 is nginx's: the client has gone.
inline constexpr int kClientGone = 499;

// The words that go with a status.
std::string_view StatusText(int status);

// An error by the one table of reasons and statuses, as application/problem+json (RFC 9457): title,
// status, detail and, beyond the RFC, reason, field and what of the message is a value. A status
// that does not come from MakeError is a bug of ours and shows no detail.
Answer Problem(const absl::Status& error);

// The status and the object of such an answer alone.
int ProblemStatus(const absl::Status& error);
std::string ProblemJson(const absl::Status& error);

// An error of HTTP itself, which has no reason of the API but REQUEST_INVALID.
Answer Problem(int status, std::string_view detail);

}  // namespace pixpool::rest
