// What a worker may ask the kernel for while it decodes.
#pragma once

#include "absl/status/status.h"

namespace pixpool {

// From here on the calling thread, which must be the only one, may read and write `channel`, map
// `memory` and memory of its own without the right to run what is in it, ask for the time, and end.
// Any other call ends the process with SIGSYS: there are no files, no network, no other programs,
// no signals to others. Cannot be undone. UNAVAILABLE where the kernel or what surrounds the
// process refuses it; nothing has changed then.
absl::Status AllowDecodingOnly(int channel, int memory);

}  // namespace pixpool
