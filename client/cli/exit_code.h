// Exit codes of the pixpool command: part of its interface, documented in --help.
#pragma once

#include "absl/status/status.h"

namespace pixpool::cli {

enum ExitCode : int {
  kExitOk = 0,           // all went well
  kExitSomeFailed = 1,   // some images failed, or a folder could not be read
  kExitUsage = 2,        // bad command line, a path that does not exist, or no images there
  kExitUnavailable = 3,  // server not reached, not ready or overloaded
  kExitRefused = 4,      // the server refused the request: invalid, not found, not allowed
  kExitDeadline = 5,     // out of time
  kExitInternal = 6,     // output could not be written, or a bug of server or client
  kExitObjective = 7,    // bench: an objective was missed
};

// The code for a call that failed with `status`; kExitOk for OK.
ExitCode ExitCodeFor(const absl::Status& status);

// The list above for --help.
extern const char kExitCodeHelp[];

}  // namespace pixpool::cli
