#include "server/base/guarded.h"

#include <exception>
#include <new>

#include "server/base/error.h"
#include "server/base/log.h"

namespace pixpool {
namespace {

absl::Status MakeNoMemoryError() {
  ErrorDetails details;
  details.reason = ErrorReason::kOverloaded;
  details.retry_after = absl::Seconds(1);
  return MakeError(details,
                   "the server has no memory left for this; try again in 1s, or another server");
}

// A log without memory is a line less.
void TryLog(std::string_view event, const char* what) noexcept {
  try {
    Log(LogLevel::kError, event, {{"what", what}});
  } catch (const std::exception&) {
  }
}

}  // namespace

bool TellsOfNoMemory(std::string_view words) {
  // Of the standard library; oneDNN and OpenVINO; LibTorch on the CPU and on GPUs.
  for (const std::string_view sign :
       {"bad_alloc", "Failed to allocate", "can't alloc", "can't allocate memory",
        "not enough memory", "out of memory"}) {
    if (words.find(sign) != words.npos) return true;
  }
  return false;
}

const absl::Status& NoMemoryError() {
  static const absl::Status* const error = new absl::Status(MakeNoMemoryError());
  return *error;
}

// Made while there is memory.
[[maybe_unused]] static const absl::Status& made_at_start = NoMemoryError();

absl::Status StatusOfException(std::string_view event, std::string_view message) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc& e) {
    TryLog(event, e.what());
  } catch (const std::exception& e) {
    TryLog(event, e.what());
    if (TellsOfNoMemory(e.what())) return NoMemoryError();
    try {
      return MakeError(ErrorReason::kInferenceFailed, message);
    } catch (const std::exception&) {
    }
  } catch (...) {
    TryLog(event, "not a std::exception");
    try {
      return MakeError(ErrorReason::kInferenceFailed, message);
    } catch (const std::exception&) {
    }
  }
  return NoMemoryError();
}

}  // namespace pixpool
