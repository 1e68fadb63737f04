#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {

// The answer to a part of the API that this version does not compute. `what` names it for people;
// `field` is its path, empty for a whole call.
inline absl::Status NotServed(std::string_view field, std::string_view what) {
  return MakeError({.reason = ErrorReason::kNotImplemented, .field = std::string(field)},
                   Concat(what, " is part of the API, but this version does not serve it"));
}

}  // namespace pixpool
