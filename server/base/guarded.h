// What keeps an exception from ending the process, for stages that others wait for.
#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"

namespace pixpool {

// The error of work that there was no memory for: OVERLOADED. Made once; a copy takes no memory.
const absl::Status& NoMemoryError();

// Whether the words of an error say that there was no memory: libraries throw other types than
// std::bad_alloc as well.
bool TellsOfNoMemory(std::string_view words);

// To be called while an exception is being handled: NoMemoryError() for std::bad_alloc and what
// tells of no memory, else INFERENCE_FAILED with `message`. What was thrown goes to the log as
// `event`; clients get no detail of our bugs. Works without memory.
absl::Status StatusOfException(std::string_view event, std::string_view message) noexcept;

// Runs `work`, which returns a status or nothing, and makes a status of what it throws.
template <typename Work>
absl::Status Guarded(std::string_view event, std::string_view message, Work&& work) noexcept {
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<Work>>) {
      std::forward<Work>(work)();
      return absl::OkStatus();
    } else {
      return std::forward<Work>(work)();
    }
  } catch (...) {
    return StatusOfException(event, message);
  }
}

}  // namespace pixpool
