// Memory that runs out when a test says so. Link failing_allocator.cc into the test program.
#pragma once

#include <cstdint>

namespace pixpool::testing {

// From now on the allocation with this number (from 1, counted over all threads) fails, and so do
// the next ones, `in_a_row` in all. What fails is malloc and its kin, and operator new with them;
// under a sanitizer, which has a malloc of its own, operator new alone.
void FailAllocations(int64_t number, int64_t in_a_row);

// Ends it. Returns how many failed.
int64_t StopFailing();

}  // namespace pixpool::testing
