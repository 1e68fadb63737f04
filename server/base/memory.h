// The C library's allocator, set for a server that decodes pictures. Without effect where the C
// library is not glibc or malloc is another one.
#pragma once

namespace pixpool {

// Call once, before there are threads. `cores` is how many run at a time.
void TuneAllocator(int cores);

// Gives memory that is free back to the system. Takes milliseconds.
void ReturnFreeMemory();

}  // namespace pixpool
