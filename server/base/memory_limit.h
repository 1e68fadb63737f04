// How much memory this process may use, and how much it does.
#pragma once

#include <cstdint>
#include <string>

namespace pixpool {

// The smallest of the cgroup limits (v1 and v2, every level up to the root) and the machine's
// memory; 0 where nothing can be read. `root` is where /proc and /sys are found.
int64_t AvailableMemoryBytes(const std::string& root = "/");

// Memory of this process that is in RAM now; 0 where /proc cannot be read. The second without what
// comes from files, such as the code of libraries; it also tells of another process.
int64_t ResidentBytes();
int64_t ResidentBytesOfItsOwn();
int64_t ResidentBytesOfItsOwn(int pid);

}  // namespace pixpool
