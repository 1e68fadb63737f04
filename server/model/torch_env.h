// LibTorch's process-wide and per-thread state. Torch-free.
#pragma once

#include <string>
#include <string_view>

namespace pixpool {

// Sets the number of CPU threads that torch uses for work started by the calling thread; other
// threads keep theirs.
void SetTorchThreads(int count);

// The first line of an error of torch; a stack trace follows it.
std::string FirstLine(std::string_view message);

}  // namespace pixpool
