#include "server/base/memory.h"

#include <algorithm>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace pixpool {

#ifdef __GLIBC__

// Chosen by measurement, docs/performance.md. As it comes, glibc maps every block over 32 MiB anew
// and returns it: a picture of 12 megapixels then pays 9,000 page faults, a quarter of its time.
void TuneAllocator(int cores) {
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  // An arena a thread would keep as much again for each of gRPC's many threads.
  if (std::getenv("MALLOC_ARENA_MAX") == nullptr) mallopt(M_ARENA_MAX, std::max(2, cores));
}

void ReturnFreeMemory() { malloc_trim(0); }

#else

void TuneAllocator(int) {}
void ReturnFreeMemory() {}

#endif

}  // namespace pixpool
