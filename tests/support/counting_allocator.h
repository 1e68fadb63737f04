// How much memory is allocated. Link counting_allocator.cc into the test program.
#pragma once

#include <cstdint>

namespace pixpool::testing {

// Whether allocations are counted: a sanitizer has a malloc of its own, of which only what operator
// new takes would be seen.
bool CountsAllocations();

// Bytes that are allocated now, on all threads.
int64_t AllocatedBytes();

// From now on the peak is what is allocated now.
void ResetPeak();
// The most that was allocated at a time since.
int64_t PeakBytes();

}  // namespace pixpool::testing
