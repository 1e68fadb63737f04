// How many CPU cores this process may really use: the smallest of the cgroup quota (v1 and v2,
// every level up to the root), the cpuset and the affinity mask. In a container the host's core
// count is the wrong answer.
#pragma once

#include <string>

namespace pixpool {

// Cores of this process, at least 1; a quota of 1.5 cores gives 2. `root` is where /proc and /sys
// are found (tests pass a folder of their own; the affinity mask is only read for "/").
int AvailableCpuCount(const std::string& root = "/");

// What an option of threads means: their number, or for 0 the cores of this process.
inline int ThreadCount(int count) { return count == 0 ? AvailableCpuCount() : count; }

}  // namespace pixpool
