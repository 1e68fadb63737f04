// HTTP proxies, which gRPC takes from the environment. Internal: not part of the installed API.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace pixpool::client::internal {

// Whether a target is on this machine: a Unix socket, a loopback address, a wildcard (which leads
// to one), "localhost". No proxy leads back here, so none is asked, whatever the environment says.
bool IsOnThisMachine(absl::string_view target);

// The environment variable whose proxy gRPC goes through to reach the target; empty where it goes
// straight there. Reads the environment, which must not change meanwhile.
absl::string_view ProxyVariable(absl::string_view target);

// The error of a call that reached no pixpool server, UNAVAILABLE without a reason, with what may
// help: the target, the variable of a proxy, the command that starts a server. Others, and those
// that say so already, as they are.
absl::Status ExplainUnreached(const absl::Status& error, absl::string_view target);

}  // namespace pixpool::client::internal
