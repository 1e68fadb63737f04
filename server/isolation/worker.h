// The process of a worker, from its start to its end.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "server/isolation/shared_bytes.h"

namespace pixpool {

// Does a task: its message, and the memory that the server and the worker share. Gives the reply,
// of at most kMaxMessage bytes. Throws nothing.
using WorkerTask = std::function<std::string(std::string_view message, SharedBytes* memory)>;

// The whole of a worker's main(): gives up every right that decoding does not need, then does the
// tasks that come over its channel, one at a time, until the server closes it or is gone. Returns
// the exit code; 2 where the program was not started by a server.
int RunWorker(int argc, char** argv, const WorkerTask& task);

}  // namespace pixpool
