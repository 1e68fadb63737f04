#include "client/cli/exit_code.h"

namespace pixpool::cli {

const char kExitCodeHelp[] =
    "Exit codes:\n"
    "  0  all went well\n"
    "  1  some images failed, or a folder could not be read; the others have their results\n"
    "  2  bad command line, a path that does not exist, or no images there\n"
    "  3  server not reached, not ready or overloaded\n"
    "  4  the server refused the request: invalid, not found, not allowed\n"
    "  5  out of time (--timeout)\n"
    "  6  output could not be written, or an internal error of server or client\n"
    "  7  bench: a latency objective or the wanted rate was missed\n";

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kUnavailable:
      return kExitUnavailable;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kExitRefused;
    case absl::StatusCode::kDeadlineExceeded:
      return kExitDeadline;
    default:
      return kExitInternal;
  }
}

}  // namespace pixpool::cli
