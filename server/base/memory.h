// The C library's allocator, set for a server that decodes pictures. Without effect where the C
// library is not glibc or malloc is another one.
#pragma once

#include <cstdint>

namespace pixpool {

// Call once, before there are threads. `cores` is how many run at a time, `memory` what the process
// may use in all.
void TuneAllocator(int cores, int64_t memory);

// Bounds what libraries keep of every shape that they have ever seen; an environment variable of
// theirs that is set stays as it is. Call once, before there are threads.
void BoundLibraryCaches();

// Free memory that the heap may keep at a time, in each of its arenas.
int64_t HeapKeeps();

// What the program has allocated on the heap and not freed, over all threads; 0 where the C library
// does not say. Exact, unlike what is resident, which has what was freed and is kept in it too.
int64_t HeapBytesInUse();

// Gives memory that is free back to the system. Takes milliseconds, and a tenth of a second for a
// gigabyte.
void ReturnFreeMemory();

}  // namespace pixpool
