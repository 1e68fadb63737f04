// Ends of the process that do not wait for its threads, of which one may hang.
#pragma once

#include <chrono>
#include <string_view>

#include "server/app/signals.h"

namespace pixpool {

inline constexpr std::string_view kWorkHangs = "calls that were cut have not ended";

// At once, with exit status 1 and the last line of the log.
[[noreturn]] void EndNow(std::string_view why);

// With kWorkHangs, unless the process has ended by then.
void EndAfter(std::chrono::seconds wait);

// From now on a signal ends the process, whatever the main thread waits for.
void EndAtSignal(const StopSignal& stop);

}  // namespace pixpool
